// Node's fetch and http through a proxy: argument 1 is its URL.
const assert = require('assert');
const http = require('http');

const base = process.argv[2];
const LARGE = 100 << 20;

// By http, for what fetch does not show.
function ask(path, options, pieces = []) {
  return new Promise((resolve, reject) => {
    const seen = { interim: [] };
    const request = http.request(base + path, options, (response) => {
      const all = [];
      response.on('data', (piece) => all.push(piece));
      response.on('end', () => resolve({ ...seen, status: response.statusCode, headers: response.headers, body: Buffer.concat(all) }));
    });
    request.on('information', (info) => seen.interim.push(info.statusCode));
    request.on('error', reject);
    const send = () => { pieces.forEach((piece) => request.write(piece)); request.end(); };
    if (options.headers && options.headers.expect) {
      request.on('continue', () => { seen.continued = true; send(); });
      request.flushHeaders();
    } else {
      send();
    }
  });
}

async function main() {
  const get = await fetch(base + '/bytes?n=1000');
  assert.strictEqual((await get.arrayBuffer()).byteLength, 1000);
  const head = await fetch(base + '/bytes?n=1000', { method: 'HEAD' });
  assert.strictEqual(head.headers.get('content-length'), '1000');
  const range = await fetch(base + '/bytes?n=1000', { headers: { range: 'bytes=10-19' } });
  assert.deepStrictEqual([range.status, (await range.arrayBuffer()).byteLength], [206, 10]);
  const same = await ask('/etag', { headers: { 'if-none-match': '"v1"' } });
  assert.deepStrictEqual([same.status, same.headers.etag, same.body.length], [304, '"v1"', 0]);
  assert.strictEqual(await (await fetch(base + '/gzip')).text(), 'packed '.repeat(1000));
  assert.strictEqual(await (await fetch(base + '/stream')).text(), 'piece '.repeat(100));
  assert.strictEqual((await fetch(base + '/none', { method: 'DELETE' })).status, 204);
  console.log('small');
  const down = await fetch(base + `/bytes?n=${LARGE}`);
  assert.strictEqual((await down.arrayBuffer()).byteLength, LARGE);
  const up = await fetch(base + '/upload', { method: 'POST', body: Buffer.alloc(LARGE, 'y') });
  assert.strictEqual((await up.json()).length, LARGE);
  console.log('large');
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const waited = await ask('/upload', { method: 'POST', agent, headers: { expect: '100-continue', 'content-length': 5 } }, ['hello']);
  assert.deepStrictEqual([waited.continued, JSON.parse(waited.body).length], [true, 5]);
  const chunked = await ask('/upload', { method: 'POST', agent }, ['a', 'bc', 'def']);
  assert.strictEqual(JSON.parse(chunked.body).length, 6);
  const hints = await ask('/hints', { agent });
  assert.deepStrictEqual([hints.interim, hints.body.toString()], [[103], 'hinted']);
  console.log('done');
  process.exit(0);
}

main().catch((error) => { console.error(error); process.exit(1); });
