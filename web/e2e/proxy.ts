import { request as ask, createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";

/** In front of the server: the same pages from another build, or with a file gone. */
export type Front = {
  url: string;
  /** What is put behind the worker's script: a byte more is another build. */
  newer: boolean;
  /** The page that is asked for afresh names another entry. */
  rebuilt: boolean;
  /** Paths that are no longer there. */
  gone: RegExp | null;
  close: () => Promise<void>;
};

export async function proxied(home: string): Promise<Front> {
  const at = new URL(home);
  const sent = (headers: IncomingMessage["headers"]) => ({
    ...headers,
    host: at.host,
    ...(headers.origin ? { origin: at.origin } : {}),
    "accept-encoding": "identity",
  });
  const server = createServer((came, answer) => {
    if (proxy.gone?.test(came.url ?? "")) {
      answer.writeHead(404).end();
      return;
    }
    if (proxy.rebuilt && came.url === "/index.html?fresh") {
      answer
        .writeHead(200, { "content-type": "text/html" })
        .end('<script type="module" src="/assets/other.js"></script>');
      return;
    }
    const options = {
      host: at.hostname,
      port: at.port,
      path: came.url,
      method: came.method,
      headers: sent(came.headers),
    };
    const on = ask(options, (found) => {
      const script = proxy.newer && came.url === "/sw.js" && found.statusCode === 200;
      const headers = { ...found.headers };
      if (script) delete headers["content-length"];
      if (came.url === "/sw.js") delete headers.etag;
      answer.writeHead(found.statusCode ?? 502, headers);
      found.pipe(answer, { end: !script });
      if (script) found.on("end", () => answer.end("\n// another build"));
    });
    on.on("error", () => answer.destroy());
    came.pipe(on);
  });
  server.on("upgrade", (came: IncomingMessage, socket, head) => {
    const on = connect(Number(at.port), at.hostname, () => {
      const lines = Object.entries(sent(came.headers)).map(([name, value]) => `${name}: ${value}`);
      on.write(`GET ${came.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      on.write(head);
      on.pipe(socket).pipe(on);
    });
    for (const one of [on, socket]) one.on("error", () => [on, socket].map((each) => each.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: Front = {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    newer: false,
    rebuilt: false,
    gone: null,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return proxy;
}
