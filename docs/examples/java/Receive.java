// Takes what suki-receiver's `http` sink delivers, and keeps each event once, as a file. Needs Java 17 only.
//
//     mkdir -m 0700 events && printf 'a secret of your own' > sink-secret
//     java Receive.java sink-secret events 9000
//
// The sink has the same secret: url = "http://127.0.0.1:9000/", secret = { file = "sink-secret" }. An event is taken
// with 204 once it is on disk; another process works on the files. Notes are patient data: where the receiver is on
// another machine, put something in front that ends TLS.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receive {
    /** How far a delivery's timestamp may be from now. */
    static final long TOLERANCE_S = 5 * 60;
    /** A 413 is final for the receiver, so leave room for the longest note. */
    static final int MAX_BODY_BYTES = 64 * 1024 * 1024;

    final byte[] key;
    final Path folder;

    Receive(byte[] key, Path folder) {
        this.key = key;
        this.folder = folder;
    }

    public static void main(String[] args) throws IOException {
        byte[] key = signingKey(Files.readString(Path.of(args[0])).strip());
        Receive receive = new Receive(key, Path.of(args[1]));
        int port = Integer.parseInt(args[2]);
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        server.createContext("/", receive::handle);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.out.println("listening on 127.0.0.1:" + server.getAddress().getPort());
    }

    /** The key of a secret: after {@code whsec_} base64, else the text as it is. */
    static byte[] signingKey(String text) {
        if (text.isEmpty()) throw new IllegalArgumentException("The secret is empty.");
        return text.startsWith("whsec_")
            ? Base64.getDecoder().decode(text.substring(6))
            : text.getBytes(StandardCharsets.UTF_8);
    }

    void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            int status = receive(exchange);
            // What is left of a refused body is not read.
            if (status != 204) exchange.getResponseHeaders().set("Connection", "close");
            exchange.sendResponseHeaders(status, -1);
        }
    }

    /** The status to answer with. */
    int receive(HttpExchange exchange) throws IOException {
        if (!exchange.getRequestMethod().equals("POST")) return 405;
        byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY_BYTES + 1);
        if (body.length > MAX_BODY_BYTES) return 413;
        String id = header(exchange, "webhook-id");
        String signatures = header(exchange, "webhook-signature");
        if (!isAuthentic(id, header(exchange, "webhook-timestamp"), signatures, body)) return 401;
        // It becomes the name of a file.
        if (!id.matches("[0-9a-f-]{36}")) return 400;
        try {
            System.out.println((keep(id, body) ? "kept: " : "kept before: ") + id);
            return 204;
        } catch (IOException error) {
            System.out.println("not kept: " + id + ": " + error.getClass().getSimpleName());
            return 503; // The receiver tries again.
        }
    }

    static String header(HttpExchange exchange, String name) {
        String value = exchange.getRequestHeaders().getFirst(name);
        return value == null ? "" : value;
    }

    /** Standard Webhooks: HMAC-SHA256 of id.timestamp.body. During a rotation there are several signatures. */
    boolean isAuthentic(String id, String timestamp, String signatures, byte[] body) {
        if (!timestamp.matches("[0-9]{1,12}")) return false;
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > TOLERANCE_S) return false;
        byte[] expected;
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
            expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(StandardCharsets.UTF_8);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
        for (String one : signatures.split(" ")) {
            // In constant time, so that no signature can be guessed byte by byte.
            if (MessageDigest.isEqual(expected, one.getBytes(StandardCharsets.UTF_8))) return true;
        }
        return false;
    }

    /** Keeps an event on disk, whole or not at all; false where it was kept before. */
    boolean keep(String id, byte[] body) throws IOException {
        Path path = folder.resolve(id + ".json");
        boolean isNew = !Files.exists(path);
        if (isNew) {
            Path partial = Files.createTempFile(folder, null, ".part");
            try (FileChannel file = FileChannel.open(partial, StandardOpenOption.WRITE)) {
                ByteBuffer rest = ByteBuffer.wrap(body);
                while (rest.hasRemaining()) file.write(rest);
                file.force(true);
            } catch (IOException error) {
                Files.delete(partial); // A full disk must not get fuller with every attempt.
                throw error;
            }
            Files.move(partial, path, StandardCopyOption.ATOMIC_MOVE);
        }
        // Also for a repetition: the first time may have been cut short between the renaming and this.
        try (FileChannel directory = FileChannel.open(folder, StandardOpenOption.READ)) {
            directory.force(true);
        }
        return isNew;
    }
}
