import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Addr, type SecureAskSwarm } from 'shoal';
import { encodeText } from 'shoal/bytes';
import { mbapp } from 'shoal/mbapp';
import { createMemoryRealm } from 'shoal/memory';
import { mux } from 'shoal/mux';
import { p2pke } from 'shoal/p2pke';
import { testKey } from 'shoal/testing';
import { Room, type RoomEvent } from '../../../apps/cli/src/chat/room.ts';
import { once } from 'node:events';
import { assertFails, runningShoal, shoal, spawnShoal, startShoal } from './command.ts';

function world() {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 3, netem: 'wifi' });
  const run = <T>(promise: Promise<T>): Promise<T> => realm.clock.run(promise);
  const enter = async (i: number, name: string, at?: Room | Addr) => {
    const privateKey = testKey(i);
    const below = realm.swarm();
    const swarm = mbapp(p2pke(below, { privateKey })) as unknown as SecureAskSwarm<Addr>;
    const events: RoomEvent[] = [];
    const room = new Room({ swarm, privateKey, name, onEvent: (event) => void events.push(event) });
    const [addr] = swarm.localAddrs();
    if (at !== undefined) await run(room.join(at as Addr));
    const heard = (): readonly string[] =>
      events.flatMap((event) => (event.event === 'message' ? [`${event.member.name}: ${event.text}`] : []));
    const names = (): readonly string[] => room.members.map((member) => member.name).toSorted();
    return { room, events, addr: addr!, below, swarm, heard, names };
  };
  return { realm, run, enter };
}

describe('a chat room', () => {
  it('connects everybody with everybody, from any member on', async () => {
    const { realm, run, enter } = world();
    const alice = await enter(1, 'alice');
    const bob = await enter(2, 'bob', alice.addr);
    const carol = await enter(3, 'carol', bob.addr);
    await realm.clock.advance(3000);
    assert.deepEqual(alice.names(), ['bob', 'carol']);
    assert.deepEqual(carol.names(), ['alice', 'bob']);
    assert.equal(await run(carol.room.say('hello')), 2);
    await realm.clock.advance(1000);
    for (const each of [alice, bob]) assert.deepEqual(each.heard(), ['carol: hello']);
    assert.deepEqual(carol.heard(), []);
    await run(bob.room[Symbol.asyncDispose]());
    await realm.clock.advance(1000);
    assert.deepEqual(alice.names(), ['carol']);
    assert.deepEqual(alice.events.at(-1)?.event, 'left');
    for (const each of [alice, carol]) await run(each.room[Symbol.asyncDispose]());
  });

  it('notices who is gone without a word, and forgets it', async () => {
    const { realm, run, enter } = world();
    const alice = await enter(1, 'alice');
    const bob = await enter(2, 'bob', alice.addr);
    await realm.clock.advance(1000);
    assert.deepEqual(alice.names(), ['bob']);
    realm.drop(bob.below.addr);
    await realm.clock.advance(30_000);
    assert.deepEqual(alice.names(), []);
    assert.deepEqual(
      alice.events.map(({ event }) => event),
      ['joined', 'left'],
    );
    await run(alice.room[Symbol.asyncDispose]());
  });

  it('takes nothing from strangers, and no name that is none', async () => {
    const { realm, run, enter } = world();
    const alice = await enter(1, 'alice');
    const privateKey = testKey(9);
    const stranger = mbapp(p2pke(realm.swarm(), { privateKey }));
    const chat = mux(stranger, 'string').open('chat');
    const dst = chat.parseAddr(alice.addr.text);
    await run(chat.tell(dst, encodeText('Shi')));
    await assert.rejects(run(chat.ask(dst, encodeText('H'))), /refused/);
    await assert.rejects(run(chat.ask(dst, Uint8Array.of(0x48, 0xff))), /refused/);
    await assert.rejects(run(chat.ask(dst, encodeText(`H${'x'.repeat(65)}`))), /refused/);
    assert.deepEqual(alice.events, []);
    await assert.rejects(alice.room.say(''), RangeError);
    await assert.rejects(alice.room.say('x'.repeat(8193)), RangeError);
    await run(alice.room[Symbol.asyncDispose]());
    await stranger.close();
  });
});

describe('shoal chat', () => {
  it('is a room of processes', async () => {
    await using alice = startShoal('chat', '--name', 'alice', '--bind', '127.0.0.1:0');
    const { addr } = await alice.next('room');
    await using bob = startShoal('chat', '--name', 'b\u{1b}ob', '--bind', '127.0.0.1:0', '--join', String(addr));
    assert.equal((await bob.next('joined'))['name'], 'alice');
    assert.equal((await alice.next('joined'))['name'], 'b\u{1b}ob');
    bob.process.stdin!.write('good morning\n');
    const { name, text } = await alice.next('message');
    assert.deepEqual([name, text], ['b\u{1b}ob', 'good morning']);
    assert.equal((await bob.next('said'))['told'], 1);
    assert.equal((await bob.interrupt()).code, 0);
    assert.equal((await alice.next('left'))['event'], 'left');
    assert.equal((await alice.interrupt()).code, 0);
  });

  it('fails on one line when there is no room, or no name', async () => {
    assertFails(await shoal(['chat', '--name', '', '--bind', '127.0.0.1:0']), 2, /expected 1 to 64 bytes, got 0/);
    assertFails(await shoal(['chat', '--join', '127.0.0.1:9']), 2, /Cannot join: .*expected <PeerID>@/);
  });

  it('says on both ends that clocks differ, in place of two empty rooms', async () => {
    const minutes = 12;
    await using alice = startShoal('chat', '--name', 'alice', '--bind', '127.0.0.1:0');
    const { addr } = await alice.next('room');
    const joining = ['chat', '--name', 'bob', '--bind', '127.0.0.1:0', '--join', String(addr), '--json'];
    await using bob = runningShoal(spawnShoal(joining, { aheadMs: minutes * 60_000 }));
    for (const [room, sign] of [
      [alice, 1],
      [bob, -1],
    ] as const) {
      const { differenceMs } = await room.next('clock_differs');
      assert.equal(Math.round(Number(differenceMs) / 60_000), sign * minutes);
    }
    const plain = spawnShoal(
      joining.filter((word) => word !== '--json'),
      { aheadMs: minutes * 60_000 },
    );
    let said = '';
    while (!said.includes('\n')) said += String((await once(plain.stdout!, 'data'))[0]);
    assert.match(said, /^\[[\w-]{8}\] the other side's clock differs by about 12 minutes/);
    plain.kill('SIGINT');
    assert.deepEqual(await once(plain, 'exit'), [0, null]);
  });

  it('shows hostile names and texts on one line, behind a piece of the PeerID', async () => {
    const alice = spawnShoal(['chat', '--name', 'alice', '--bind', '127.0.0.1:0']);
    using _alice = { [Symbol.dispose]: () => void alice.kill('SIGKILL') };
    let said = '';
    alice.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const line = async (end: RegExp): Promise<void> => {
      while (!end.test(said)) await once(alice.stdout!, 'data');
    };
    await line(/--join '.+'\n/);
    const id = /--join '(.{43})@/.exec(said)![1]!;
    const name = `[${id.slice(0, 8)}] alice: hi\n\u{202e}\u{1b}[1A`;
    await using bob = startShoal(
      'chat',
      '--name',
      name,
      '--bind',
      '127.0.0.1:0',
      '--join',
      /--join '(.+)'/.exec(said)![1]!,
    );
    const own = String((await bob.next('room'))['addr']).slice(0, 8);
    await line(/has joined\n/);
    bob.process.stdin!.write('\u{9b}2J\u{2066}[x] carol: hello\n');
    await line(/carol: hello\n/);
    const lines = said.split('\n').slice(1, -1);
    assert.equal(lines.length, 2, said);
    for (const each of lines) assert(each.startsWith(`[${own}] `), each);
    assert.doesNotMatch(said.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    alice.kill('SIGINT');
    assert.deepEqual(await once(alice, 'exit'), [0, null]);
  });

  it('ends when it is interrupted before it has begun to read', async () => {
    // Nobody answers there, so the signal comes while it joins.
    const child = spawnShoal(['chat', '--bind', '127.0.0.1:0', '--verbose']);
    await once(child.stderr!, 'data');
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.notEqual(code, null);
  });
});
