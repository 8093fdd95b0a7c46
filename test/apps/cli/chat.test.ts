import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Peers } from 'shoal/peers';
import { encodeText } from 'shoal/bytes';
import { ProvenAddrs, Room, type RoomEvent } from '../../../apps/cli/src/chat/room.ts';
import { loadQuicEngine } from '../../../src/swarms/quic/index.ts';
import { idOf, PeersWorld } from '../../support/peers-world.ts';
import { once } from 'node:events';
import { assertFails, machineLan, runningShoal, shoal, spawnShoal, startShoal } from './command.ts';

before(() => loadQuicEngine());

function world() {
  const w = new PeersWorld({ latencyMs: 20, trace: undefined });
  const enter = async (i: number, name: string, at?: { readonly peers: Peers }) => {
    const proven = new ProvenAddrs();
    // Only who is joined is known beforehand.
    const peers = await w.open(i, w.net.host({ name }), { sources: [proven], minPeers: 0, idleTimeoutMs: Infinity });
    const events: RoomEvent[] = [];
    const room = new Room({ peers, proven, name, onEvent: (event) => void events.push(event) });
    if (at !== undefined) {
      const { id, addrs } = at.peers;
      for (const addr of addrs) {
        peers.add({ id, addr, source: 'test', trust: 'given', seenMs: 0, expiresMs: Infinity });
      }
      await w.run(room.join(id));
    }
    const heard = (): readonly string[] =>
      events.flatMap((event) => (event.event === 'message' ? [`${event.member.name}: ${event.text}`] : []));
    const names = (): readonly string[] => room.members.map((member) => member.name).toSorted();
    return { room, events, peers, heard, names };
  };
  return { w, enter };
}

describe('a chat room', () => {
  it('connects everybody with everybody, from any member on', async () => {
    const { w, enter } = world();
    const alice = await enter(1, 'alice');
    const bob = await enter(2, 'bob', alice);
    const carol = await enter(3, 'carol', bob);
    await w.advance(3000);
    assert.deepEqual(alice.names(), ['bob', 'carol']);
    assert.deepEqual(carol.names(), ['alice', 'bob']);
    assert.equal(await w.run(carol.room.say('hello')), 2);
    await w.advance(1000);
    for (const each of [alice, bob]) assert.deepEqual(each.heard(), ['carol: hello']);
    assert.deepEqual(carol.heard(), []);
    await w.run(bob.room[Symbol.asyncDispose]());
    await w.advance(1000);
    assert.deepEqual(alice.names(), ['carol']);
    assert.deepEqual(alice.events.at(-1)?.event, 'left');
    for (const each of [alice, carol]) await w.run(each.room[Symbol.asyncDispose]());
    await w.close();
  });

  it('connects those who entered by one member at the same time, when that has dialled them back', async () => {
    const { w, enter } = world();
    const alice = await enter(1, 'alice');
    const bob = await enter(2, 'bob', alice);
    const carol = await enter(3, 'carol', alice);
    await w.advance(5000);
    assert.deepEqual(bob.names(), ['alice', 'carol']);
    assert.deepEqual(carol.names(), ['alice', 'bob']);
    await w.close();
  });

  it('notices who is gone without a word, and forgets it', async () => {
    const { w, enter } = world();
    const alice = await enter(1, 'alice');
    const bob = await enter(2, 'bob', alice);
    await w.advance(1000);
    assert.deepEqual(alice.names(), ['bob']);
    await w.run(bob.peers.close());
    await w.advance(30_000);
    assert.deepEqual(alice.names(), []);
    assert.deepEqual(
      alice.events.map(({ event }) => event),
      ['joined', 'left'],
    );
    await w.run(alice.room[Symbol.asyncDispose]());
    await w.close();
  });

  it('takes nothing from strangers, no name that is none, and no member by the word of an answer that lies', async () => {
    const { w, enter } = world();
    const alice = await enter(1, 'alice');
    const stranger = await w.open(9);
    const dst = stranger.parseAddr(alice.peers.id);
    await w.run(stranger.tell(dst, encodeText('Shi')));
    await assert.rejects(w.run(stranger.ask(dst, encodeText('H'))), /refused/);
    await assert.rejects(w.run(stranger.ask(dst, Uint8Array.of(0x48, 0xff))), /refused/);
    await assert.rejects(w.run(stranger.ask(dst, encodeText(`H${'x'.repeat(65)}`))), /refused/);
    assert.deepEqual(alice.events, []);
    await assert.rejects(alice.room.say(''), RangeError);
    await assert.rejects(alice.room.say('x'.repeat(8193)), RangeError);
    const others = [
      `${idOf(7)} tcp://${idOf(7)}@192.0.2.1:5000`,
      'x',
      '',
      `${idOf(8)} ${'y'.repeat(300)}`,
      alice.peers.id,
    ];
    stranger.serve(() => new Uint8Array([3, ...encodeText(`eve${others.join('\n')}`)]));
    assert.deepEqual(await w.run(stranger.ask(dst, encodeText('Heve'))), Uint8Array.of(5, ...encodeText('alice')));
    await w.advance(10_000);
    assert.deepEqual(alice.names(), ['eve']);
    await w.run(alice.room[Symbol.asyncDispose]());
    await w.close();
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
    assertFails(await shoal(['chat', '--join', '127.0.0.1:9']), 2, /Cannot join: expected <PeerID>@IP:PORT/);
  });

  it('finds a member on the LAN whose address is stale', async () => {
    await using lan = await machineLan();
    await using alice = startShoal('chat', '--name', 'alice', ...lan.args);
    const [id] = String((await alice.next('room'))['addr']).split('@');
    await using bob = startShoal('chat', '--name', 'bob', '--join', `${id}@127.0.0.1:9`, ...lan.args);
    assert.equal((await bob.next('joined'))['name'], 'alice');
  });

  it('is one room for processes whose clocks differ', async () => {
    await using alice = startShoal('chat', '--name', 'alice', '--bind', '127.0.0.1:0');
    const { addr } = await alice.next('room');
    const joining = ['chat', '--name', 'bob', '--bind', '127.0.0.1:0', '--join', String(addr), '--json'];
    await using bob = runningShoal(spawnShoal(joining, { aheadMs: 12 * 60_000 }));
    assert.equal((await bob.next('joined'))['name'], 'alice');
    assert.equal((await alice.next('joined'))['name'], 'bob');
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
