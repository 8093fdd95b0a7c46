/** `@number0/iroh` without relays or discovery, by direct addresses. Its bytes cross as arrays of numbers. */

import { createRequire } from 'node:module';

const { Endpoint, EndpointAddr, EndpointId, RelayMode } = createRequire(import.meta.url)('@number0/iroh');

const ALPN = [...Buffer.from('bench')];
const MAX_BYTES = 4_194_304;

async function endpoint() {
  const builder = Endpoint.builder();
  builder.applyMinimal();
  builder.relayMode(RelayMode.disabled());
  builder.alpns([ALPN]);
  builder.bindAddr('127.0.0.1:0');
  return builder.bind();
}

export async function serve(answer) {
  const server = await endpoint();
  const handle = async ({ send, recv }) => {
    const request = Uint8Array.from(await recv.readToEnd(MAX_BYTES));
    await send.writeAll([...answer(request)]);
    await send.finish();
  };
  const streams = async (incoming) => {
    const connection = await (await incoming.accept()).connect();
    for (;;) handle(await connection.acceptBi()).catch(() => {});
  };
  const accept = async () => {
    for (let incoming; (incoming = await server.acceptNext()) !== null;) streams(incoming).catch(() => {});
  };
  accept().catch(() => {});
  const address = server.boundSockets().find((socket) => socket.startsWith('127.0.0.1:'));
  return `${server.id().toString()} ${address}`;
}

export async function client() {
  const initiator = await endpoint();
  return {
    connect: async (info) => {
      const [id, address] = info.split(' ');
      const connection = await initiator.connect(new EndpointAddr(EndpointId.fromString(id), null, [address]), ALPN);
      return {
        ask: async (bytes) => {
          const { send, recv } = await connection.openBi();
          await send.writeAll([...bytes]);
          await send.finish();
          return Uint8Array.from(await recv.readToEnd(MAX_BYTES));
        },
        close: () => connection.close(0n, []),
      };
    },
    close: () => void initiator.close(),
  };
}
