/**
 * A chat: the host sends each line to all other guests, and says when guests come and go.
 *
 *     node examples/endpoint-chat.ts                  a host and two guests who talk in one process
 *     node examples/endpoint-chat.ts --host           a host alone; it prints its address
 *     node examples/endpoint-chat.ts 127.0.0.1:5000   a guest; type lines, Ctrl-D to leave
 */

import { createInterface } from 'node:readline';

import { decodeText, encodeText } from 'shoal/bytes';
import { type QuicConnection, type Endpoint, openEndpoint } from 'shoal/endpoint';

const [argument] = process.argv.slice(2);
const bind = '127.0.0.1:0';
const nameOf = ({ peerId }: QuicConnection): string => peerId?.slice(0, 6) ?? 'somebody';

async function host(room: Endpoint): Promise<void> {
  const say = (line: string, from?: QuicConnection): void => {
    // A guest that cannot be reached has gone: its `disconnected` event follows.
    for (const guest of room.openConnections()) if (guest !== from) void guest.send(encodeText(line)).catch(() => {});
  };
  const greet = async (): Promise<void> => {
    for await (const event of room.events()) {
      if (event.type === 'connected') say(`* ${nameOf(event.connection)} is here`, event.connection);
      if (event.type === 'disconnected') say(`* ${nameOf(event.connection)} has left`);
    }
  };
  const lines = async (): Promise<void> => {
    for await (const { connection, payload } of room.messages()) {
      say(`${nameOf(connection)}: ${decodeText(payload) ?? '?'}`, connection);
    }
  };
  await Promise.all([greet(), lines()]);
}

async function listen(guest: QuicConnection, show: (line: string) => void): Promise<void> {
  for await (const { payload } of guest.messages()) show(decodeText(payload) ?? '?');
}

if (argument === undefined || argument === '--host') {
  await using room = await openEndpoint({ bind });
  const address = room.addr;
  console.log(`the room is at ${address.text}`);
  const hosting = host(room);
  if (argument === '--host') await hosting; // until Ctrl-C
  await using alice = await openEndpoint({ bind });
  await using bob = await openEndpoint({ bind });
  const atAlice = await alice.connect(address, { expect: room.peerId });
  const heard = Promise.withResolvers<string>();
  void listen(atAlice, (line) => {
    console.log(`alice reads ${line}`);
    if (!line.startsWith('*')) heard.resolve(line);
  });
  const atBob = await bob.connect(address, { expect: room.peerId });
  await atBob.send(encodeText('hello, room'));
  await heard.promise;
  await atBob.close({ reason: 'good night' });
} else {
  await using guest = await openEndpoint({ bind });
  const connection = await guest.connect(argument);
  void listen(connection, console.log);
  for await (const line of createInterface({ input: process.stdin })) await connection.send(encodeText(line));
  await connection.drain();
}
