// Takes what suki-receiver's `http` sink delivers, and keeps each event once, as a file. Needs Node 18 only.
//
//     mkdir -m 0700 events && printf 'a secret of your own' > sink-secret
//     node receive.mjs sink-secret events 9000
//
// The sink has the same secret: url = "http://127.0.0.1:9000/", secret = { file = "sink-secret" }. An event is taken
// with 204 once it is on disk; another process works on the files. Notes are patient data: where the receiver is on
// another machine, put something in front that ends TLS.

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { access, open, readFile, rename, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

const TOLERANCE_S = 5 * 60; // How far a delivery's timestamp may be from now.
const MAX_BODY_BYTES = 64 * 1024 * 1024; // A 413 is final for the receiver, so leave room for the longest note.

// The key of a secret: after `whsec_` base64, else the text as it is.
function signingKey(text) {
  text = text.trim();
  return text.startsWith("whsec_") ? Buffer.from(text.slice(6), "base64") : Buffer.from(text);
}

// Standard Webhooks: HMAC-SHA256 of id.timestamp.body. During a rotation there are several signatures.
function isAuthentic(key, id, timestamp, signatures, body) {
  if (!/^[0-9]{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return false;
  const digest = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const expected = Buffer.from(`v1,${digest}`);
  // In constant time, so that no signature can be guessed byte by byte.
  return signatures.split(" ").map((one) => Buffer.from(one))
    .some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}

// Keeps an event on disk, whole or not at all; false where it was kept before.
async function keep(folder, id, body) {
  const path = join(folder, `${id}.json`);
  const isNew = !(await access(path).then(() => true, () => false));
  if (isNew) {
    const partial = join(folder, `${randomUUID()}.part`);
    try {
      await withOpen(partial, "wx", async (file) => {
        await file.writeFile(body);
        await file.sync();
      });
      await rename(partial, path);
    } catch (error) {
      await rm(partial, { force: true }); // A full disk must not get fuller with every attempt.
      throw error;
    }
  }
  // Also for a repetition: the first time may have been cut short between the renaming and this.
  await withOpen(folder, "r", (file) => file.sync());
  return isNew;
}

async function withOpen(path, flags, work) {
  const file = await open(path, flags, 0o600);
  try {
    await work(file);
  } finally {
    await file.close();
  }
}

// The whole body; nothing where it is too long.
async function read(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > MAX_BODY_BYTES) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

// The status to answer with.
async function receive(request, key, folder) {
  if (request.method !== "POST") return 405;
  const body = await read(request);
  if (body === undefined) return 413;
  const header = (name) => request.headers[name] ?? "";
  const id = header("webhook-id");
  if (!isAuthentic(key, id, header("webhook-timestamp"), header("webhook-signature"), body)) return 401;
  // It becomes the name of a file.
  if (!/^[0-9a-f-]{36}$/.test(id)) return 400;
  try {
    console.log(`${(await keep(folder, id, body)) ? "kept" : "kept before"}: ${id}`);
    return 204;
  } catch (error) {
    console.log(`not kept: ${id}: ${error.code}`);
    return 503; // The receiver tries again.
  }
}

const [secretFile, folder, port] = process.argv.slice(2);
const key = signingKey(await readFile(secretFile, "utf8"));
if (key.length === 0) throw new Error("The secret is empty.");
const server = createServer(async (request, response) => {
  try {
    const status = await receive(request, key, folder);
    // What is left of a refused body is not read.
    response.writeHead(status, status === 204 ? {} : { connection: "close" }).end();
  } catch {
    response.destroy(); // The sender broke off.
  }
});
server.listen(Number(port), "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
