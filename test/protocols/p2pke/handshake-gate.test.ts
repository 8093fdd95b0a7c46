import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Admission,
  HandshakeGate,
  type HandshakeGateLimits,
} from '../../../src/protocols/p2pke/handshake-gate.ts';
import { sessionIdOf, verifyInitHello } from '../../../src/protocols/p2pke/hello.ts';
import { decodeCookieReply, decodeInitHello } from '../../../src/protocols/p2pke/messages.ts';
import { JudgedChannel } from './judged-channel.ts';
import { channelPair, seededRandom, testIdentity, WALL_MS } from './pair.ts';

const alice = testIdentity(1);

/** A channel that has said InitHello, and its last datagram. */
class Caller {
  readonly channel = new JudgedChannel({ identity: testIdentity(), accept: () => true });
  datagram: Uint8Array<ArrayBuffer>;

  constructor(now = 0) {
    this.channel.open(now, WALL_MS + now);
    this.datagram = this.#next()!;
  }

  #next(): Uint8Array<ArrayBuffer> | undefined {
    let last: Uint8Array<ArrayBuffer> | undefined;
    for (let output = this.channel.poll(); output.type !== 'wait'; output = this.channel.poll()) {
      if (output.type === 'transmit') last = output.transmit;
    }
    return last;
  }

  ask(gate: HandshakeGate, now: number, address = '192.0.2.1:1'): Admission {
    return gate.admit(now, address, address.split(':')[0]!, this.datagram, decodeInitHello(this.datagram)!);
  }

  /** Takes a cookie reply and goes on with what the channel says next. */
  take(reply: Admission, now: number): void {
    assert.ok(reply instanceof Uint8Array);
    this.channel.handleDatagram(now, WALL_MS + now, reply);
    this.datagram = this.#next()!;
    assert.notEqual(this.datagram, undefined);
  }
}

/** A cookie reply to an InitHello that is no answer of its responder. */
function cookieFor(initHello: Uint8Array, value: number): Uint8Array {
  const id = sessionIdOf(initHello);
  return Uint8Array.of(255, 255, 255, 255, 1, ...id.subarray(0, 16), ...new Uint8Array(16).fill(value));
}

function gate(limits: HandshakeGateLimits): HandshakeGate {
  return new HandshakeGate(0, seededRandom(5), limits);
}

/** A gate with no budget for strangers. */
const closed: HandshakeGateLimits = { hellosPerSecond: 0 };

/** Uses up the one that every budget begins with. */
function busy(limits: HandshakeGateLimits = {}): HandshakeGate {
  const busyGate = gate({ ...closed, ...limits });
  assert.equal(new Caller().ask(busyGate, 0), 'admit');
  return busyGate;
}

describe('the handshake gate', () => {
  it('lets everybody in as long as few come', () => {
    const quiet = gate({ hellosPerSecond: 100 });
    const caller = new Caller();
    for (let i = 0; i < 500; i++) assert.equal(caller.ask(quiet, i * 10), 'admit');
    assert.equal(quiet.sources, 0);
  });

  it('asks for a cookie when too many come, and lets in who brings it', () => {
    const keeper = busy();
    const caller = new Caller();
    const reply = caller.ask(keeper, 10);
    assert.ok(reply instanceof Uint8Array && reply.length === 37 && reply.length < caller.datagram.length);
    caller.take(reply, 10);
    assert.equal(caller.datagram.length, 184);
    assert.equal(caller.ask(keeper, 20), 'admit');
    assert.equal(typeof verifyInitHello(caller.datagram, alice.registry), 'object', 'the rest of it is as before');
  });

  it('takes a cookie from the address it was sent to only, and for its handshake only', () => {
    const keeper = busy();
    const caller = new Caller();
    caller.take(caller.ask(keeper, 10), 10);
    assert.ok(caller.ask(keeper, 20, '192.0.2.2:1') instanceof Uint8Array);
    const other = new Caller();
    const stolen = decodeInitHello(caller.datagram)!.hello.cookie!;
    const id = decodeCookieReply(other.ask(keeper, 20) as Uint8Array)!.sessionId;
    other.take(Uint8Array.of(255, 255, 255, 255, 1, ...id, ...stolen), 20);
    assert.ok(other.ask(keeper, 30) instanceof Uint8Array);
  });

  it('a cookie is good for a while after its secret has been replaced, and then no more', () => {
    const keeper = busy();
    const caller = new Caller();
    caller.take(caller.ask(keeper, 10), 10);
    assert.equal(caller.ask(keeper, 130_000), 'admit');
    assert.ok(caller.ask(keeper, 260_000) instanceof Uint8Array);
  });

  it('one source has a budget, and so have all together', () => {
    const keeper = busy({ hellosPerSourcePerSecond: 1, provenHellosPerSecond: 5 });
    const callers = Array.from({ length: 20 }, (_, i) => ({ caller: new Caller(), address: `192.0.2.${i}:9` }));
    for (const { caller, address } of callers) caller.take(caller.ask(keeper, 0, address), 0);
    const first = callers[0]!;
    const verdicts = Array.from({ length: 5 }, () => first.caller.ask(keeper, 1, first.address));
    assert.deepEqual(verdicts, ['admit', 'admit', 'drop', 'drop', 'drop']);
    assert.equal(first.caller.ask(keeper, 1002, first.address), 'admit');
    const all = callers.slice(1).map(({ caller, address }) => caller.ask(keeper, 1002, address));
    assert.ok(all.filter((verdict) => verdict === 'admit').length <= 12);
    assert.ok(all.includes('drop'));
  });

  it('remembers a bounded number of sources', () => {
    const keeper = busy({ maxSources: 10 });
    for (let i = 0; i < 40; i++) {
      const caller = new Caller();
      const address = `192.0.2.${i}:9`;
      caller.take(caller.ask(keeper, 0, address), 0);
      caller.ask(keeper, 0, address);
    }
    assert.equal(keeper.sources, 10);
  });

  it('a flood of strangers makes no state and costs honest peers one round trip', () => {
    const keeper = busy();
    const strangers = Array.from({ length: 20 }, () => new Caller());
    for (let i = 0; i < 20_000; i++) {
      const verdict = strangers[i % 20]!.ask(keeper, i / 100, `198.51.100.${i % 250}:${i}`);
      assert.notEqual(verdict, 'admit');
    }
    assert.equal(keeper.sources, 0);
    const honest = new Caller();
    honest.take(honest.ask(keeper, 200), 200);
    assert.equal(honest.ask(keeper, 200), 'admit');
  });

  it('refuses limits that make no sense', () => {
    assert.throws(() => gate({ hellosPerSecond: -1 }), RangeError);
    assert.throws(() => gate({ maxSources: 0 }), RangeError);
  });
});

describe('a channel that is sent cookies', () => {
  it('takes those for its own InitHello, and goes on with any handshake', () => {
    const { pair } = channelPair(10);
    pair.send('a', 'x');
    const junk = Uint8Array.of(255, 255, 255, 255, 1, ...new Uint8Array(32));
    pair.deliver('a', junk);
    assert.equal(pair.a.drops('unexpected'), 1);
    pair.deliver('a', junk.subarray(0, 36));
    assert.equal(pair.a.drops('malformed'), 1);
    for (let i = 0; i < 5; i++) {
      pair.deliver('a', cookieFor(pair.a.sent.at(-1)!.bytes, i));
      pair.deliver('a', cookieFor(pair.a.sent[0]!.bytes, i));
    }
    assert.equal(pair.a.sentWith(0), 6, 'each once');
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['x']);
  });

  it('forged cookies do not count against the genuine one, and the answer to any of its InitHellos is taken', () => {
    const { pair } = channelPair(100);
    const keeper = busy();
    pair.link = (from, counter, index) => from === 'b' || counter !== 0 || index === 6;
    pair.send('a', 'x');
    const [first] = pair.a.sent;
    for (let i = 0; i < 5; i++) pair.deliver('a', cookieFor(first!.bytes, i));
    const hello = decodeInitHello(first!.bytes)!;
    const reply = keeper.admit(10, '192.0.2.1:1', '192.0.2.1', first!.bytes, hello);
    assert.ok(reply instanceof Uint8Array);
    pair.deliver('a', reply);
    for (let i = 10; i < 20; i++) pair.deliver('a', cookieFor(first!.bytes, i));
    const genuine = pair.a.sent[6]!.bytes;
    assert.equal(keeper.admit(20, '192.0.2.1:1', '192.0.2.1', genuine, decodeInitHello(genuine)!), 'admit');
    pair.run(1000);
    assert.deepEqual(pair.b.texts, ['x']);
  });

  it('takes a bounded number of them between two repetitions', () => {
    const { pair } = channelPair(100);
    pair.link = () => false;
    pair.send('a', 'x');
    for (let i = 0; i < 200; i++) pair.deliver('a', cookieFor(pair.a.sent[0]!.bytes, i));
    assert.equal(pair.a.sentWith(0), 1 + 32);
    assert.equal(pair.a.drops('overloaded'), 200 - 32);
    const before = pair.a.sent.length;
    pair.run(400);
    assert.equal(pair.a.sent.length - before, 1 + 32, 'one repetition of each');
    for (let i = 200; i < 250; i++) pair.deliver('a', cookieFor(pair.a.sent[0]!.bytes, i));
    assert.equal(pair.a.sent.length - before, 1 + 32 + 32, 'and as many again after it');
  });
});
