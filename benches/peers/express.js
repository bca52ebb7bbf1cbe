// Verifies a notification as the service does, and keeps nothing: node express.js HOST PORT, with SECRET set.
const crypto = require('node:crypto');
const express = require('express');

const [host, port] = process.argv.slice(2);
const secret = process.env.SECRET;
const app = express();

app.get('/hook', (request, response) => response.send('ready'));
app.post('/hook', express.raw({ type: () => true }), (request, response) => {
  const mac = crypto.createHmac('sha256', secret);
  mac.update(`${request.get('generated-at')}:`).update(request.body);
  const given = Buffer.from(request.get('x-api-key') ?? '', 'hex');
  const wanted = mac.digest();
  if (given.length !== wanted.length || !crypto.timingSafeEqual(given, wanted)) {
    return response.status(401).json({ code: 401, message: 'unauthorized' });
  }
  response.json({ result: 'accepted', id: crypto.randomUUID() });
});

app.listen(Number(port), host);
