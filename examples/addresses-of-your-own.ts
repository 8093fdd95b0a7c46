/** Addresses of your own type: a world in memory where peers have names, and a swarm seen under other addresses. */

import { type Addr, receiveOne } from 'shoal';
import { mapAddrs } from 'shoal/map';
import { addressedRealm, createMemoryRealm } from 'shoal/memory';
import { makeAddr } from 'shoal/swarm-kit';

interface Name extends Addr {
  readonly name: string;
}
const name = (text: string): Name => {
  if (!/^[a-z]+$/.test(text)) throw new TypeError(`Cannot parse name: expected letters, got ${JSON.stringify(text)}`);
  return makeAddr<Name>({ name: text, text });
};

const world = addressedRealm(createMemoryRealm({ clock: 'virtual' }), name);
const [alice, bob] = [world.swarm(name('alice')), world.swarm(name('bob'))];
const arriving = receiveOne(bob);
await alice.tell(alice.parseAddr('bob'), Uint8Array.of(1));
console.log(`bob heard from ${(await world.realm.clock.run(arriving)).src.name}`);

interface Room extends Addr {
  readonly room: string;
}
const room = (text: string): Room => makeAddr<Room>({ room: text, text: `room:${text}` });
const rooms = mapAddrs(alice, {
  up: (addr) => room(addr.name),
  down: (addr: Room) => name(addr.room),
  parse: (text) => room(text.replace(/^room:/, '')),
});
const again = receiveOne(bob);
await rooms.tell(rooms.parseAddr('room:bob'), Uint8Array.of(2));
console.log(`${rooms.addr.text} told ${(await world.realm.clock.run(again)).dst.text}`);
