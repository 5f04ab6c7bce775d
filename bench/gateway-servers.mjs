// What stands around the gateway in its benchmark: the provider, and the proxies beside it. Each is a process.
import http from 'node:http';

const COMPLETION = JSON.stringify({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'gpt-4o-mini',
  choices: [{ index: 0, message: { role: 'assistant', content: 'word '.repeat(60) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 20, completion_tokens: 60, total_tokens: 80 },
});
const TOKENS = 20;
const EVENTS = Array.from(
  { length: TOKENS },
  (_, n) =>
    `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"word ${n}"},"finish_reason":null}]}\n\n`,
);

/** Answers like an OpenAI-compatible provider, at once. */
function provider() {
  return http.createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      if (body.includes('"stream":true')) {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        for (const event of EVENTS) response.write(event);
        response.end('data: [DONE]\n\n');
      } else {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': COMPLETION.length });
        response.end(COMPLETION);
      }
    });
  });
}

/** The least that a proxy in Node does: another key in the header, and two pipes. */
function bareProxy(upstream, key) {
  const { hostname, port } = new URL(upstream);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
  return http.createServer((request, response) => {
    const { host: _host, connection: _connection, ...headers } = request.headers;
    const forwarded = http.request(
      {
        hostname,
        port,
        agent,
        method: request.method,
        path: request.url,
        headers: { ...headers, authorization: `Bearer ${key}` },
      },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      },
    );
    forwarded.on('error', () => response.destroy());
    request.pipe(forwarded);
  });
}

const [, , kind, ...args] = process.argv;
const server = kind === 'provider' ? provider() : bareProxy(...args);
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
process.once('disconnect', () => process.exit());
