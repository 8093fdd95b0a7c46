/** What a peer, or somebody on the way, may do wrong: each ends the connection, for a reason of a closed set, and costs no more than its bytes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes, encodeText } from '../../../src/base/bytes.ts';
import { createSeededRandom } from '../../../src/base/seeded-random.ts';
import { MSG } from '../../../src/protocols/ssh/constants.ts';
import { writePacket } from '../../../src/protocols/ssh/packets.ts';
import { bool, byte, string, uint32 } from '../../../src/protocols/ssh/wire.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { RawSsh } from '../../support/raw-ssh.ts';
import { converse, sshPair, SshSide } from '../../support/ssh-pair.ts';

/** docs/wire/ssh.md §4. */
const REQUESTS = 16;

const IGNORE = concatBytes(byte(MSG.IGNORE), string('nothing'));
const GLOBAL = concatBytes(Uint8Array.of(80, 0, 0, 0, 0, 0), encodeText('early'));

/** A raw client at a server of ours, or a raw server at a client of ours. */
function against(end: 'client' | 'server'): {
  readonly raw: RawSsh;
  readonly ours: SshSide;
  readonly talk: () => void;
} {
  const ours = new SshSide(end === 'client' ? 'server' : 'client', 1);
  const raw = new RawSsh(end, testKey(0));
  const talk = (): void => {
    for (let rounds = 0; rounds < 50; rounds++) {
      const [theirs, own] = [raw.take(), ours.take()];
      if (theirs.length + own.length === 0) return;
      if (theirs.length > 0) ours.receive(theirs);
      if (own.length > 0) raw.receive(own);
    }
  };
  return { raw, ours, talk };
}

/** One that has keys and the service, and is about to authenticate. */
function aboutToAuthenticate(): ReturnType<typeof against> {
  const all = against('client');
  all.talk();
  all.raw.requestService();
  all.talk();
  assert.ok(all.raw.isSecured);
  all.raw.payloads.length = 0;
  return all;
}

const types = (payloads: readonly Bytes[]): readonly number[] => payloads.map(([type]) => type!);

describe('SSH: somebody on the way (Terrapin, CVE-2023-48795)', () => {
  for (const victim of ['client', 'server'] as const) {
    it(`a message put into the first exchange ends the connection of the ${victim}, so nothing can be cut out for it`, () => {
      const client = new SshSide('client', 0);
      const server = new SshSide('server', 1);
      let injected = false;
      converse(client, server, (bytes, from) => {
        const isForVictim = (from === client) === (victim === 'server');
        if (injected || !isForVictim || bytes[0] === 'S'.charCodeAt(0)) return bytes;
        injected = true;
        return concatBytes(writePacket([IGNORE], undefined), bytes);
      });
      const side = victim === 'client' ? client : server;
      assert.deepEqual([side.closed?.by, side.closed?.fault], ['fault', 'unexpected']);
      assert.ok(![...client.events, ...server.events].some(({ type }) => type === 'open'));
    });

    it(`a message put in front of KEXINIT does too (${victim})`, () => {
      const side = new SshSide(victim, 0);
      side.receive(concatBytes(encodeText('SSH-2.0-x\r\n'), writePacket([IGNORE], undefined)));
      assert.equal(side.closed?.fault, 'unexpected');
    });
  }

  it('the first sealed packet cut out of either direction is noticed with the next one', () => {
    for (const victim of ['client', 'server'] as const) {
      const client = new SshSide('client', 0);
      const server = new SshSide('server', 1);
      converse(client, server, (bytes, from) => {
        if ((from === client) !== (victim === 'server')) return bytes;
        // NEWKEYS is the last packet in the clear: 16 bytes that begin with 0000000c 0a 15.
        const at = Buffer.from(bytes).indexOf(Buffer.from('0000000c0a15', 'hex'));
        if (at < 0) return bytes;
        const end = at + 16;
        if (end === bytes.length) return bytes;
        const cut = 4 + new DataView(bytes.buffer, bytes.byteOffset + end).getUint32(0) + 16;
        return concatBytes(bytes.subarray(0, end), bytes.subarray(end + cut));
      });
      const side = victim === 'client' ? client : server;
      assert.ok(!side.events.some(({ type }) => type === 'open'), `${victim} did not notice`);
    }
  });

  it('a changed bit in any sealed packet ends the connection', () => {
    const { client, server } = sshPair();
    client.transport.send([GLOBAL], 0);
    const bytes = client.take();
    bytes[bytes.length - 20]! ^= 1;
    server.receive(bytes);
    assert.equal(server.closed?.fault, 'undecryptable');
    assert.deepEqual(server.payloads, []);
  });
});

describe('SSH: before authentication', () => {
  it('messages, channels and new keys end the connection, and are not delivered', () => {
    for (const payload of [
      GLOBAL,
      concatBytes(byte(MSG.CHANNEL_OPEN), string('session'), uint32(0)),
      byte(224),
      byte(81),
    ]) {
      const { raw, ours, talk } = against('client');
      talk();
      raw.send(payload);
      talk();
      assert.equal(ours.closed?.fault, 'unexpected');
      assert.deepEqual(ours.payloads, []);
    }
  });

  it('a server that says success before it was asked is none', () => {
    const { raw, ours, talk } = against('server');
    talk();
    raw.send(byte(MSG.USERAUTH_SUCCESS));
    talk();
    assert.equal(ours.closed?.fault, 'unexpected');
    assert.ok(!ours.events.some(({ type }) => type === 'open'));
  });

  it('lengths beyond the limit are refused before anything of the packet is kept', () => {
    for (const length of [0xffff_ffff, 0x8000_0000, 262_145, 35_001, 34_997]) {
      const side = new SshSide('server', 0, { maxPacketBytes: 262_144 });
      side.receive(concatBytes(encodeText('SSH-2.0-x\r\n'), uint32(length)));
      assert.equal(side.closed?.fault, 'oversize', String(length));
    }
  });

  it('so are they behind authentication', () => {
    for (const length of [0xffff_fff0, 262_144]) {
      const { server } = sshPair();
      server.receive(uint32(length));
      assert.equal(server.closed?.fault, 'oversize');
    }
  });

  it('packets that are no whole number of blocks, too short, or all padding are malformed', () => {
    for (const packet of [
      [0, 0, 0, 0],
      [0, 0, 0, 5],
      [0, 0, 0, 13],
      [0, 0, 0, 12, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 12, 11, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 12, 255, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]) {
      const side = new SshSide('server', 0);
      side.receive(concatBytes(encodeText('SSH-2.0-x\r\n'), Uint8Array.from(packet)));
      assert.equal(side.closed?.fault, 'malformed', packet.join());
    }
  });

  it('lines that are no version end the connection: others, old ones, endless ones', () => {
    const cases = [
      ['server', 'GET / HTTP/1.1\r\n', 'wrong_version'],
      ['server', 'SSH-1.5-x\r\n', 'wrong_version'],
      ['server', 'SSH-1.99-x\r\n', 'wrong_version'],
      ['server', 'x'.repeat(300), 'oversize'],
      ['client', 'hello\r\n'.repeat(2000), 'oversize'],
      ['client', 'SSH-1.5-x\r\n', 'wrong_version'],
    ] as const;
    for (const [end, text, fault] of cases) {
      const side = new SshSide(end, 0);
      side.receive(encodeText(text));
      assert.equal(side.closed?.fault, fault, text.slice(0, 20));
    }
    const client = new SshSide('client', 0);
    client.receive(encodeText('welcome\r\nSSH-1.99-x\n'));
    assert.equal(client.closed, undefined);
  });

  it('a point of low order gives no keys', () => {
    const side = new SshSide('server', 0);
    const raw = new RawSsh('client', testKey(0));
    side.receive(raw.take());
    raw.receive(side.take());
    const init = raw.take();
    side.receive(init);
    const other = new SshSide('server', 0);
    other.receive(concatBytes(encodeText('SSH-2.0-raw\r\n'), init.slice(0, init.length - 48)));
    other.receive(writePacket([byte(MSG.KEX_ECDH_INIT), string(new Uint8Array(32))], undefined));
    assert.equal(other.closed?.fault, 'malformed');
  });
});

describe('SSH: authentication', () => {
  it('the identity is the key that has signed, whatever else the client has asked about (CVE-2024-45337)', () => {
    for (const asked of [
      [0, 5],
      [5, 0],
      [5, 5, 5],
    ]) {
      const { raw, ours, talk } = aboutToAuthenticate();
      for (const key of asked) raw.authenticate(testKey(key));
      talk();
      assert.deepEqual(
        types(raw.payloads),
        asked.map(() => MSG.USERAUTH_PK_OK),
      );
      assert.ok(!ours.events.some(({ type }) => type === 'proven'), 'a question proves nothing');
      raw.authenticate(testKey(0), testKey(0));
      talk();
      assert.deepEqual(ours.transport.publicKey, testKey(0).publicKey);
      assert.equal(raw.payloads.at(-1)![0], MSG.USERAUTH_SUCCESS);
    }
  });

  it('a signature of another key, of another session, or of other bytes proves nothing', () => {
    for (const attempt of [
      (raw: RawSsh) => raw.authenticate(testKey(5), testKey(0)),
      (raw: RawSsh) => raw.authenticate(testKey(0), testKey(0), new Uint8Array(32)),
      (raw: RawSsh) =>
        raw.authenticate(testKey(0), { publicKey: testKey(0).publicKey, sign: () => new Uint8Array(64) }),
      (raw: RawSsh) => raw.authenticate(testKey(0), { publicKey: testKey(0).publicKey, sign: () => new Uint8Array(3) }),
    ]) {
      const { raw, ours, talk } = aboutToAuthenticate();
      attempt(raw);
      talk();
      assert.deepEqual(types(raw.payloads), [MSG.USERAUTH_FAILURE]);
      assert.deepEqual(ours.events, []);
      assert.equal(ours.transport.publicKey, undefined);
    }
  });

  it('a storm of attempts is cut off', () => {
    const { raw, ours, talk } = aboutToAuthenticate();
    for (let i = 0; i < REQUESTS; i++) raw.authenticate(testKey(5), testKey(0));
    talk();
    assert.ok(!ours.events.some(({ type }) => type === 'closed'));
    assert.equal(raw.payloads.length, REQUESTS);
    raw.authenticate(testKey(0), testKey(0));
    talk();
    assert.equal(ours.closed?.fault, 'auth_storm');
    assert.equal(ours.transport.publicKey, undefined);
  });

  it('requests of other kinds count too, and fail', () => {
    const { raw, ours, talk } = aboutToAuthenticate();
    const request = (method: string): void =>
      raw.send(byte(MSG.USERAUTH_REQUEST), string('root'), string('ssh-connection'), string(method));
    request('none');
    request('password');
    talk();
    assert.deepEqual(types(raw.payloads), [MSG.USERAUTH_FAILURE, MSG.USERAUTH_FAILURE]);
    for (let i = 0; i < REQUESTS; i++) request('none');
    talk();
    assert.equal(ours.closed?.fault, 'auth_storm');
  });

  it('another service, the same one twice, and a request before the service end the connection', () => {
    const { raw, ours, talk } = aboutToAuthenticate();
    raw.requestService();
    talk();
    assert.equal(ours.closed?.fault, 'unexpected');
    const other = against('client');
    other.talk();
    other.raw.send(byte(MSG.SERVICE_REQUEST), string('ssh-connection'));
    other.talk();
    assert.equal(other.ours.closed?.fault, 'unexpected');
    const early = against('client');
    early.talk();
    early.raw.authenticate(testKey(0), testKey(0));
    early.talk();
    assert.equal(early.ours.closed?.fault, 'unexpected');
    assert.deepEqual(
      early.ours.events.map(({ type }) => type),
      ['closed'],
    );
  });

  it('a peer has frames by the extension of the right name and value only', () => {
    for (const [name, value, expected] of [
      ['frames@shoal', '1', true],
      ['frames@shoal', '2', false],
      ['frames@shoal', '', false],
      ['frames', '1', false],
    ] as const) {
      const { raw, ours, talk } = against('client');
      talk();
      raw.send(byte(MSG.EXT_INFO), uint32(2), string('x'), string('1'), string(name), string(value));
      raw.requestService();
      raw.authenticate(testKey(0), testKey(0));
      talk();
      raw.authenticate(testKey(0), testKey(0));
      talk();
      assert.ok(ours.transport.isOpen);
      assert.equal(ours.transport.hasFrames, expected);
    }
  });

  it('while a verdict is awaited nothing more is read', () => {
    const { raw, ours, talk } = aboutToAuthenticate();
    raw.authenticate(testKey(0), testKey(0));
    raw.authenticate(testKey(5), testKey(5));
    ours.judge = () => false;
    talk();
    assert.deepEqual(
      ours.events.map(({ type }) => type),
      ['proven', 'closed'],
    );
  });

  it('banners without end, and extensions without number, end the connection', () => {
    const banner = concatBytes(byte(MSG.USERAUTH_BANNER), string('hello'), string(''));
    const { raw, ours, talk } = against('server');
    talk();
    for (let i = 0; i < 17; i++) raw.send(banner);
    talk();
    assert.equal(ours.closed?.fault, 'auth_storm');
    const other = against('server');
    other.talk();
    other.raw.send(byte(MSG.EXT_INFO), uint32(0xffff_ffff));
    other.talk();
    assert.equal(other.ours.closed?.fault, 'malformed');
  });
});

describe('SSH: behind authentication', () => {
  function authenticated(): ReturnType<typeof against> {
    const all = aboutToAuthenticate();
    all.raw.authenticate(testKey(0), testKey(0));
    all.talk();
    assert.ok(all.ours.transport.isOpen);
    return all;
  }

  it('later requests for authentication change nothing', () => {
    const { raw, ours, talk } = authenticated();
    raw.authenticate(testKey(5), testKey(5));
    raw.send(GLOBAL);
    talk();
    assert.deepEqual(ours.transport.publicKey, testKey(0).publicKey);
    assert.deepEqual(ours.payloads, [GLOBAL]);
  });

  it('exchanges of keys without end are cut off', () => {
    const { raw, ours, talk } = authenticated();
    for (let i = 0; i < 100; i++) {
      raw.beginExchange();
      talk();
    }
    assert.ok(ours.transport.isOpen);
    raw.beginExchange();
    talk();
    assert.equal(ours.closed?.fault, 'rekey_flood');
  });

  it('messages between KEXINIT and NEWKEYS end the connection', () => {
    const { raw, ours, talk } = authenticated();
    raw.holdsNewKeys = true;
    raw.beginExchange();
    raw.send(GLOBAL);
    talk();
    assert.equal(ours.closed?.fault, 'unexpected');
    assert.deepEqual(ours.payloads, []);
  });

  it('a server that has another key in a later exchange is not the same', () => {
    const ours = new SshSide('client', 1);
    const impostor = testKey(5);
    let signer = testKey(0);
    const changing = new RawSsh('server', {
      get publicKey() {
        return signer.publicKey;
      },
      sign: (message) => signer.sign(message),
    });
    const talk = (): void => {
      for (let rounds = 0; rounds < 20; rounds++) {
        const [theirs, own] = [changing.take(), ours.take()];
        if (theirs.length > 0) ours.receive(theirs);
        if (own.length > 0) changing.receive(own);
      }
    };
    talk();
    changing.send(byte(MSG.SERVICE_ACCEPT), string('ssh-userauth'));
    talk();
    changing.send(byte(MSG.USERAUTH_SUCCESS));
    talk();
    assert.ok(ours.transport.isOpen);
    signer = impostor;
    changing.beginExchange();
    talk();
    assert.equal(ours.closed?.fault, 'bad_signature');
  });

  it('any bytes end the connection or leave it waiting, and nothing throws or is kept', () => {
    const random = createSeededRandom(11);
    for (let i = 0; i < 500; i++) {
      const { client, server } =
        i % 2 === 0 ? sshPair() : { client: new SshSide('client', 0), server: new SshSide('server', 1) };
      const side = random.next() < 0.5 ? client : server;
      if (i % 4 === 1) side.receive(encodeText('SSH-2.0-x\r\n'));
      side.receive(random.bytes(1 + Math.floor(random.next() * 2000)));
      assert.ok(side.transport.pendingBytes <= 262_144);
      assert.deepEqual(side.payloads, []);
    }
  });

  it('a disconnect has at most 256 characters', () => {
    const { raw, ours, talk } = authenticated();
    raw.send(byte(MSG.DISCONNECT), uint32(11), string('x'.repeat(30_000)), string(''));
    talk();
    assert.deepEqual([ours.closed?.by, ours.closed?.reason.length], ['peer', 256]);
  });

  it('a boolean of any value but 0 is true, and fields cut off are malformed', () => {
    const { raw, ours, talk } = aboutToAuthenticate();
    raw.send(byte(MSG.USERAUTH_REQUEST), string(''), string('ssh-connection'), string('publickey'), bool(true));
    talk();
    assert.equal(ours.closed?.fault, 'malformed');
  });
});
