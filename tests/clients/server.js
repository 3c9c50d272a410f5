// What the clients ask: prints its port, then serves.
const http = require('http');
const zlib = require('zlib');
const crypto = require('crypto');

const body = (n) => Buffer.alloc(n, 'x');

function upload(request, response) {
  const hash = crypto.createHash('sha256');
  let length = 0;
  request.on('data', (piece) => { length += piece.length; hash.update(piece); });
  request.on('end', () => {
    const text = JSON.stringify({ length, sha256: hash.digest('hex'), expect: request.headers.expect || null });
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length });
    response.end(text);
  });
}

function bytes(request, response, n) {
  const all = body(n);
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range || '');
  if (range) {
    const [from, to] = [Number(range[1]), Number(range[2])];
    const part = all.subarray(from, to + 1);
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${n}`, 'content-length': part.length });
    return response.end(part);
  }
  response.writeHead(200, { 'content-length': n, 'accept-ranges': 'bytes' });
  response.end(request.method === 'HEAD' ? undefined : all);
}

function answer(request, response) {
  const url = new URL(request.url, 'http://h');
  switch (url.pathname) {
    case '/bytes': return bytes(request, response, Number(url.searchParams.get('n')));
    case '/upload': return upload(request, response);
    case '/etag':
      if (request.headers['if-none-match'] === '"v1"') {
        response.writeHead(304, { etag: '"v1"' });
        return response.end();
      }
      response.writeHead(200, { etag: '"v1"' });
      return response.end('fresh');
    case '/gzip': {
      const packed = zlib.gzipSync('packed '.repeat(1000));
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length, vary: 'accept-encoding' });
      return response.end(packed);
    }
    case '/hints':
      return response.writeEarlyHints({ link: '</a.css>; rel=preload; as=style' }, () => response.end('hinted'));
    case '/stream':
      response.writeHead(200);
      for (let i = 0; i < 100; i++) response.write('piece ');
      return response.end();
    default:
      response.writeHead(204);
      response.end();
  }
}

const server = http.createServer(answer);
// As a careful server does: it says that the body is wanted.
server.on('checkContinue', (request, response) => { response.writeContinue(); answer(request, response); });
server.requestTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
