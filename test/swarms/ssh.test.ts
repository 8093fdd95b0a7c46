/** The SSH swarm in virtual time: the faults of go-p2p's sshswarm (S1 to S6) must not come back. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes, decodeText, encodeText } from '../../src/base/bytes.ts';
import type { AcceptPeer } from '../../src/core/accept.ts';
import { type P2PErrorCode, P2PError } from '../../src/core/errors.ts';
import { inspect } from '../../src/core/inspect.ts';
import { peerIdOfKey, sshFingerprint } from '../../src/identity/keys.ts';
import { MSG } from '../../src/protocols/ssh/constants.ts';
import { byte, string, uint32 } from '../../src/protocols/ssh/wire.ts';
import { parseSshAddr, type SshAddr, sshAddr, sshIdOf } from '../../src/swarms/ssh/address.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { RawSsh } from '../support/raw-ssh.ts';
import { answers, inboxOf, request, sshWorld } from '../support/ssh-world.ts';

const [A, B, C] = ['203.0.113.1', '203.0.113.2', '203.0.113.3'] as const;
const hello = encodeText('hello');
const isCode =
  (code: P2PErrorCode) =>
  (error: unknown): true => {
    assert.ok(P2PError.is(error, code), String(error));
    return true;
  };

const fingerprintOf = (i: number): string => sshFingerprint(testKey(i).publicKey);

describe('ssh: the identity of a peer (S1)', () => {
  it('is the key that has signed: a client that asks about a victim’s key last is not the victim', async () => {
    const { open, rawClient, pass, run } = sshWorld();
    const judged: AcceptPeer<SshAddr>[] = [];
    const bob = await open(1, B, { accept: (peer) => judged.push(peer) > 0 });
    const inbox = inboxOf(bob);
    const mallory = await rawClient(A, bob.addr, testKey(9));
    mallory.end.requestService();
    mallory.end.authenticate(testKey(9));
    mallory.end.authenticate(testKey(0)); // the victim
    mallory.end.authenticate(testKey(9), testKey(9));
    mallory.flush();
    await pass();
    mallory.end.send(Uint8Array.of(80, 0, 0, 0, 0, 0), hello);
    mallory.flush();
    await pass();
    assert.deepEqual(inbox, [`${fingerprintOf(9)} hello`]);
    assert.deepEqual(
      judged.map(({ publicKey }) => publicKey),
      [testKey(9).publicKey],
    );
    assert.equal(bob.knownPublicKey(sshAddr(sshIdOf(testKey(0).publicKey), { ip: A, port: 1 })), undefined);
    await run(bob.close());
  });

  it('a signature by another key is no proof: nothing is judged, announced or delivered', async () => {
    const { open, rawClient, pass, run } = sshWorld();
    let judged = 0;
    const bob = await open(1, B, { accept: () => ++judged > 0 });
    const inbox = inboxOf(bob);
    const mallory = await rawClient(A, bob.addr, testKey(9));
    mallory.end.requestService();
    mallory.end.authenticate(testKey(0), testKey(9));
    mallory.end.send(Uint8Array.of(80, 0, 0, 0, 0, 0), hello);
    mallory.flush();
    await pass();
    assert.deepEqual([judged, inbox.length, inspect(bob).state['peers']], [0, 0, 0]);
    assert.equal(bob.counters.drops.get('ssh.unexpected'), 1);
    await run(bob.close());
  });

  it('accept gets the PeerID that the key has everywhere, and the address with the fingerprint', async () => {
    const { open, run } = sshWorld();
    const judged: AcceptPeer<SshAddr>[] = [];
    const accept = (peer: AcceptPeer<SshAddr>): boolean => judged.push(peer) > 0;
    const [alice, bob] = [await open(0, A, { accept }), await open(1, B, { accept })];
    bob.serve(({ payload }) => payload);
    await run(alice.ask(bob.addr, hello));
    for (const { id, publicKey, addr } of judged) {
      assert.equal(id, peerIdOfKey(publicKey));
      assert.equal(addr.fingerprint, sshFingerprint(publicKey));
    }
    assert.deepEqual(judged.map(({ side }) => side).toSorted(), ['initiator', 'responder']);
    await run(Promise.all([alice.close(), bob.close()]));
  });
});

describe('ssh: connections that have ended (S2)', () => {
  it('a peer that was restarted is reached again at its address', async () => {
    const { open, run } = sshWorld();
    const alice = await open(0, A);
    for (let life = 0; life < 3; life++) {
      const bob = await open(1, B);
      bob.serve(() => Uint8Array.of(life));
      assert.deepEqual(await run(alice.ask(bob.addr, hello)), Uint8Array.of(life));
      await run(bob.close());
    }
    assert.equal(inspect(alice).state['peers'], 0);
    await run(alice.close());
  });

  it('so is a peer without frames, and an ask that was under way fails instead of being answered with nothing', async () => {
    const { open, foreignServer, run, pass } = sshWorld();
    const alice = await open(0, A);
    const connections = await foreignServer(B, 7);
    const addr = sshAddr(sshIdOf(testKey(7).publicKey), { ip: B, port: 4000 });
    const asked = alice.ask(addr, hello);
    asked.catch(() => undefined);
    await pass();
    connections[0]!.pipe.destroy();
    await assert.rejects(run(asked), isCode('disconnected'));
    await run(alice.tell(addr, hello));
    await pass();
    assert.equal(connections.length, 2);
    assert.ok(decodeText(connections[1]!.end.payloads[0]!)!.endsWith('hello'));
    await run(alice.close());
  });

  it('closing ends all connections, and asks to a closed swarm fail', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B);
    bob.serve(() => new Promise(() => {}));
    const peer = await foreignClient(A, bob.addr);
    request(peer, true, hello);
    await pass();
    await run(bob.close());
    await run(peer.closed);
    assert.equal(peer.end.closed?.by, 'peer');
    assert.deepEqual(answers(peer), []);
  });
});

describe('ssh: waits (S3)', () => {
  it('a connection that says nothing, or a byte now and then, ends with the handshake’s deadline', async () => {
    const { open, network, run, realm, pass } = sshWorld();
    const bob = await open(1, B);
    const { signal } = new AbortController();
    let closed = 0;
    for (const drips of [false, true]) {
      const { pipe } = await run(network.host(A).dial({ remote: bob.addr.inner, signal }));
      pipe.sink = { onData: () => {}, onEnd: () => pipe.destroy(), onClose: () => void closed++ };
      pipe.resume();
      const text = encodeText('SSH-2.0-slow loris with a very long name indeed');
      for (let i = 0; drips && i < 6; i++) {
        pipe.write([text.subarray(i, i + 1)], () => {});
        await pass(800);
      }
    }
    await realm.clock.advance(5100);
    assert.equal(closed, 2);
    assert.equal(inspect(bob).state['connecting'], 0);
    await run(bob.close());
  });

  it('a host that holds all places with half-finished handshakes keeps neither others nor our own dials out', async () => {
    const { open, network, run, pass, realm } = sshWorld({ latencyMs: 10 });
    const bob = await open(1, B);
    bob.serve(({ payload }) => payload);
    // They exchange keys, ask for authentication, and then say nothing more.
    const hold = async (): Promise<void> => {
      const { pipe } = await network.host('192.0.2.66').dial({ remote: bob.addr.inner, signal });
      const end = new RawSsh('client', testKey(9));
      const { promise, resolve } = Promise.withResolvers<void>();
      pipe.sink = {
        onData: (chunk) => {
          const wasSecured = end.isSecured;
          end.receive(chunk);
          if (end.isSecured && !wasSecured) end.requestService();
          const bytes = end.take();
          if (bytes.length > 0) pipe.write([bytes], () => {});
        },
        onEnd: () => pipe.destroy(),
        onClose: () => resolve(),
      };
      pipe.resume();
      await promise;
      if (!signal.aborted) await hold();
    };
    const abort = new AbortController();
    const { signal } = abort;
    for (let i = 0; i < 100; i++) void hold().catch(() => undefined);
    await realm.clock.advance(200);
    assert.equal(inspect(bob).state['connecting'], 100);
    for (let i = 0; i < 10; i++) {
      const honest = await open(100 + i, `192.0.${i + 3}.1`);
      assert.deepEqual(await run(honest.ask(bob.addr, hello, { timeoutMs: 2000 })), hello);
      await honest.close();
    }
    assert.ok(Number(inspect(bob).state['connecting']) >= 50, 'the attack goes on');
    const carol = await open(2, C);
    carol.serve(({ payload }) => payload);
    assert.deepEqual(await run(bob.ask(carol.addr, hello)), hello);
    abort.abort();
    await pass();
    await run(Promise.all([bob.close(), carol.close()]));
  });

  it('an ask has a deadline, and a peer that never answers does not hold up others', async () => {
    const { open, foreignServer, run, pass } = sshWorld();
    const alice = await open(0, A);
    const [slow, quick] = [await foreignServer(B, 7), await foreignServer(C, 8)];
    const addrOf = (i: number, ip: string): SshAddr => sshAddr(sshIdOf(testKey(i).publicKey), { ip, port: 4000 });
    const asked = alice.ask(addrOf(7, B), hello, { timeoutMs: 1000 });
    asked.catch(() => undefined);
    const other = alice.ask(addrOf(8, C), hello);
    await pass();
    quick[0]!.end.transport.send([byte(MSG.REQUEST_SUCCESS), hello], 0);
    quick[0]!.flush();
    assert.deepEqual(await run(other), hello);
    await assert.rejects(run(asked), isCode('timeout'));
    // The answer that comes too late is not taken for the next one.
    const next = alice.ask(addrOf(7, B), encodeText('next'));
    await pass();
    for (const text of ['late', 'right']) slow[0]!.end.transport.send([byte(MSG.REQUEST_SUCCESS), encodeText(text)], 0);
    slow[0]!.flush();
    assert.equal(decodeText(await run(next)), 'right');
    await run(alice.close());
  });

  it('several asks are under way on one connection, and a slow handler delays no other answer between peers with frames', async () => {
    const { open, run } = sshWorld();
    const [alice, bob] = [await open(0, A), await open(1, B)];
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    bob.serve(({ payload }) => (decodeText(payload) === 'slow' ? promise : payload));
    const slow = alice.ask(bob.addr, encodeText('slow'));
    assert.deepEqual(await run(alice.ask(bob.addr, hello)), hello);
    resolve(encodeText('at last'));
    assert.equal(decodeText(await run(slow)), 'at last');
    assert.equal(inspect(alice).state['connections'], 1);
    await run(Promise.all([alice.close(), bob.close()]));
  });

  it('a peer without frames gets the answers in the order of its requests, while handlers run at the same time', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B);
    const waiting: ((answer: Uint8Array) => void)[] = [];
    bob.serve(({ payload }) => new Promise((resolve) => waiting.push(() => resolve(payload))));
    const peer = await foreignClient(A, bob.addr);
    for (const text of ['one', 'two', 'three']) request(peer, true, encodeText(text));
    request(peer, true, hello, 'keepalive@openssh.com');
    await pass();
    assert.equal(waiting.length, 3);
    waiting[2]!(hello);
    waiting[1]!(hello);
    await pass();
    assert.deepEqual(answers(peer), []);
    waiting[0]!(hello);
    await pass();
    assert.deepEqual(answers(peer), ['one', 'two', 'three', undefined]);
    await run(bob.close());
  });

  it('a handler that never answers such a peer is given up after 30 s, and the next one is answered', async () => {
    const { open, foreignClient, run, realm } = sshWorld();
    const bob = await open(1, B);
    let aborted = 0;
    bob.serve(({ payload, signal }) => {
      if (decodeText(payload) !== 'stuck') return payload;
      signal.addEventListener('abort', () => void aborted++);
      return new Promise(() => {});
    });
    const peer = await foreignClient(A, bob.addr);
    request(peer, true, encodeText('stuck'));
    request(peer, true, hello);
    await realm.clock.advance(29_000);
    assert.deepEqual([answers(peer), aborted], [[], 0]);
    await realm.clock.advance(1500);
    assert.deepEqual([answers(peer), aborted], [[undefined, 'hello'], 1]);
    await run(bob.close());
  });

  it('a connection whose peer has vanished is noticed by an exchange of keys, and by nothing that a program sees', async () => {
    const { open, foreignServer, run, realm, pass } = sshWorld();
    const alice = await open(0, A);
    const connections = await foreignServer(B, 7);
    const addr = sshAddr(sshIdOf(testKey(7).publicKey), { ip: B, port: 4000 });
    const asked = alice.ask(addr, hello, { timeoutMs: 120_000 });
    asked.catch(() => undefined);
    await pass();
    await realm.clock.advance(40_000);
    assert.equal(inspect(alice).state['peers'], 1, 'a slow peer that exchanges keys lives');
    assert.equal(connections[0]!.end.payloads.length, 1);
    connections[0]!.pipe.pause();
    await assert.rejects(run(asked), isCode('disconnected'));
    await run(alice.close());
  });
});

describe('ssh: answers and addresses (S4, S5)', () => {
  it('an answer larger than the asker takes is limit_exceeded and not cut', async () => {
    const { open, foreignServer, run, pass } = sshWorld();
    const [alice, bob] = [await open(0, A), await open(1, B)];
    bob.serve(() => new Uint8Array(10));
    await assert.rejects(run(alice.ask(bob.addr, hello, { maxResponseBytes: 4 })), isCode('limit_exceeded'));
    assert.equal((await run(alice.ask(bob.addr, hello, { maxResponseBytes: 10 }))).length, 10);
    const connections = await foreignServer(C, 7);
    const addr = sshAddr(sshIdOf(testKey(7).publicKey), { ip: C, port: 4000 });
    const asked = alice.ask(addr, hello, { maxResponseBytes: 4 });
    asked.catch(() => undefined);
    await pass();
    connections[0]!.end.transport.send([byte(MSG.REQUEST_SUCCESS), new Uint8Array(10)], 0);
    connections[0]!.flush();
    await assert.rejects(run(asked), isCode('limit_exceeded'));
    await run(Promise.all([alice.close(), bob.close()]));
  });

  it('every key has an address that can be read back, with + and / and IPv6', () => {
    let [plus, slash] = [0, 0];
    for (let i = 0; i < 200; i++) {
      const { publicKey } = testKey(i);
      const fingerprint = sshFingerprint(publicKey);
      if (fingerprint.includes('+')) plus++;
      if (fingerprint.includes('/')) slash++;
      for (const [ip, at] of [
        ['192.0.2.1', '192.0.2.1:22'],
        ['2001:db8::1', '[2001:db8::1]:22'],
      ] as const) {
        const addr = sshAddr(sshIdOf(publicKey), { ip, port: 22 });
        assert.equal(addr.text, `${fingerprint}@${at}`);
        assert.deepEqual(parseSshAddr(addr.text), addr);
      }
    }
    assert.ok(plus > 50 && slash > 50);
    assert.equal(fingerprintOf(0), 'SHA256:tAXFyTXI8xtDaujAEcwJslAYc9/6FKcUkd2Lw0xDhPo');
  });

  it('text that is no address is refused', () => {
    const { text } = sshAddr(sshIdOf(testKey(0).publicKey), { ip: '192.0.2.1', port: 22 });
    const spare = text.replace('DhPo@', 'DhPp@'); // the same 32 bytes, and spare bits
    for (const wrong of [
      '',
      '@',
      text.slice(7),
      text.replace('SHA256:', 'MD5:'),
      text.replace(':22', ':0'),
      text.replace(':22', ''),
      text.replace('@', '=@'),
      spare,
      text.replace('/', '_'),
      ` ${text}`,
    ]) {
      assert.throws(() => parseSshAddr(wrong), TypeError, wrong);
    }
  });

  it('both sides know both addresses, and each can be dialled', async () => {
    const { open, run, pass } = sshWorld();
    const [alice, bob] = [await open(0, A), await open(1, B)];
    const seen: string[] = [];
    for (const swarm of [alice, bob]) swarm.listen(({ src, dst }) => void seen.push(`${src.text} > ${dst.text}`));
    await run(alice.tell(bob.addr, hello));
    await pass();
    await run(bob.tell(alice.addr, hello));
    await pass();
    assert.deepEqual(seen, [`${alice.addr.text} > ${bob.addr.text}`, `${bob.addr.text} > ${alice.addr.text}`]);
    assert.equal(inspect(bob).state['connections'], 1);
    // Alice's address, as bob has seen it, leads to her from anywhere.
    const carol = await open(2, C);
    alice.serve(({ payload }) => payload);
    assert.deepEqual(await run(carol.ask(seen[0]!.split(' > ')[0]!, hello)), hello);
    await run(Promise.all([alice.close(), bob.close(), carol.close()]));
  });
});

describe('ssh: what is a message, and how many connections there are (S6)', () => {
  it('global requests with a name are no messages: they fail, or nothing happens', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B);
    const inbox = inboxOf(bob);
    let served = 0;
    bob.serve(({ payload }) => {
      served++;
      return payload;
    });
    const peer = await foreignClient(A, bob.addr);
    request(peer, true, hello, 'keepalive@openssh.com');
    request(peer, false, hello, 'hostkeys-00@openssh.com');
    request(peer, true, hello, 'tcpip-forward');
    request(peer, true, hello);
    request(peer, false, hello);
    await pass();
    assert.deepEqual(answers(peer), [undefined, undefined, 'hello']);
    assert.deepEqual([inbox.length, served], [1, 1]);
    await run(bob.close());
  });

  it('channels are prohibited, other numbers are not known, and the connection goes on', async () => {
    const { open, foreignClient, run, pass } = sshWorld();
    const bob = await open(1, B);
    bob.serve(({ payload }) => payload);
    const peer = await foreignClient(A, bob.addr);
    const open0 = concatBytes(byte(MSG.CHANNEL_OPEN), string('session'), uint32(7), uint32(1), uint32(1));
    peer.end.transport.send([open0], 0);
    peer.end.transport.send([Uint8Array.of(192, 1)], 0);
    peer.end.transport.send([Uint8Array.of(MSG.FRAMES, 1)], 0);
    request(peer, true, hello);
    await pass();
    const refusal = peer.end.payloads.find(([type]) => type === MSG.CHANNEL_OPEN_FAILURE)!;
    const expected = concatBytes(byte(92), uint32(7), uint32(1), string("don't do that"), string(''));
    assert.deepEqual(refusal, expected);
    assert.deepEqual(answers(peer), ['hello']);
    await run(bob.close());
  });

  it('messages that begin at once make one connection with a peer without frames', async () => {
    const { open, foreignServer, run, pass } = sshWorld({ latencyMs: 20 });
    const alice = await open(0, A);
    const connections = await foreignServer(B, 7);
    const addr = sshAddr(sshIdOf(testKey(7).publicKey), { ip: B, port: 4000 });
    await run(Promise.all(Array.from({ length: 20 }, () => alice.tell(addr, hello))));
    await pass(1000);
    assert.deepEqual([connections.length, connections[0]!.end.payloads.length], [1, 20]);
    await run(alice.close());
  });

  it('of dials from both sides one connection is left', async () => {
    const { open, run, pass } = sshWorld({ latencyMs: 20 });
    const [alice, bob] = [await open(0, A), await open(1, B)];
    for (const swarm of [alice, bob]) swarm.serve(({ payload }) => payload);
    const asks = Array.from({ length: 20 }, (_, i) =>
      i % 2 === 0 ? alice.ask(bob.addr, hello) : bob.ask(alice.addr, hello),
    );
    await run(Promise.all(asks));
    await pass(20_000);
    assert.deepEqual([inspect(alice).state['connections'], inspect(bob).state['connections']], [1, 1]);
    await run(Promise.all([alice.close(), bob.close()]));
  });
});
