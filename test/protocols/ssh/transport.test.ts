import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { hash } from '../../../src/crypto/node.ts';
import { type Bytes, concatBytes, encodeText, equalBytes, fromHex, toHex } from '../../../src/base/bytes.ts';
import { KeyExchange } from '../../../src/protocols/ssh/key-exchange.ts';
import { MSG } from '../../../src/protocols/ssh/constants.ts';
import { PacketReader, writePacket } from '../../../src/protocols/ssh/packets.ts';
import { SshTransport } from '../../../src/protocols/ssh/transport.ts';
import { bool, byte, names, string, uint32 } from '../../../src/protocols/ssh/wire.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { RawSsh } from '../../support/raw-ssh.ts';
import { converse, sshPair, SshSide } from '../../support/ssh-pair.ts';

const message = (text: string): Bytes => concatBytes(Uint8Array.of(80, 0, 0, 0, 0, 0), encodeText(text));

describe('SshTransport: two machines', () => {
  it('authenticate each other, with strict kex, and know that both have frames', () => {
    const { client, server } = sshPair();
    for (const [side, peer] of [
      [client, 1],
      [server, 0],
    ] as const) {
      assert.deepEqual(
        side.events.map(({ type }) => type),
        ['proven', 'open'],
      );
      assert.deepEqual(side.transport.publicKey, testKey(peer).publicKey);
      assert.ok(side.transport.isStrict && side.transport.hasFrames && side.transport.canSend);
    }
  });

  it('carry payloads of every size up to the limit in both directions, however the bytes are split', () => {
    for (const maxPacketBytes of [35_000, 262_144]) {
      const { client, server } = sshPair({ maxPacketBytes });
      const { maxPayloadBytes } = client.transport;
      for (const size of [1, 2, 15, 16, 17, 1000, 32_768, maxPayloadBytes]) {
        const payload = new Uint8Array(size).fill(size);
        payload[0] = MSG.GLOBAL_REQUEST;
        for (const [from, to] of [
          [client, server],
          [server, client],
        ] as const) {
          from.transport.send([payload.subarray(0, 1), payload.subarray(1)], 0);
          const bytes = from.take();
          for (let at = 0; at < bytes.length; at += 1009) to.receive(bytes.slice(at, at + 1009));
          assert.ok(equalBytes(to.payloads.pop()!, payload));
        }
      }
    }
  });

  it('exchange keys again after bytes and after time, begun by either side or both, and lose nothing', () => {
    const { client, server } = sshPair({ rekeyBytes: 5000 });
    let sent = 0;
    for (let i = 0; i < 200; i++) {
      for (const side of [client, server]) {
        if (!side.transport.canSend) continue;
        side.transport.send([message(`${i} ${'x'.repeat(200)}`)], 0);
        sent++;
      }
      if (i % 3 === 0) converse(client, server);
    }
    converse(client, server);
    assert.equal(client.payloads.length + server.payloads.length, sent);
    assert.equal(client.closed ?? server.closed, undefined);
    client.transport.rekey(0);
    server.transport.rekey(0);
    assert.equal(client.transport.canSend, false);
    converse(client, server);
    assert.ok(client.transport.canSend && server.transport.canSend);
    client.nowMs = server.nowMs = 3_600_000;
    client.transport.handleTimeout(client.nowMs);
    assert.equal(client.transport.canSend, false, 'an hour has passed');
    converse(client, server);
    assert.ok(client.transport.canSend);
  });

  it('seal differently after new keys, and accept nothing of the old ones', () => {
    const { client, server } = sshPair();
    client.transport.send([message('a')], 0);
    const old = client.take();
    server.receive(old.slice());
    client.transport.rekey(0);
    converse(client, server);
    server.receive(old);
    assert.equal(server.closed?.fault, 'undecryptable');
  });

  it('end the connection when new keys do not come in time, unless this side does not read', () => {
    const { client } = sshPair();
    client.transport.rekey(0);
    client.transport.isPaused = true;
    client.transport.handleTimeout(30_000);
    assert.ok(client.transport.isOpen);
    client.transport.isPaused = false;
    client.transport.handleTimeout(60_000);
    client.poll();
    assert.equal(client.closed?.by, 'timeout');
  });

  it('wait for a verdict before anything else is said, and a refused side learns it', () => {
    for (const refusing of ['client', 'server'] as const) {
      const client = new SshSide('client', 0);
      const server = new SshSide('server', 1);
      (refusing === 'client' ? client : server).judge = () => false;
      converse(client, server);
      const [refuser, refused] = refusing === 'client' ? [client, server] : [server, client];
      assert.equal(refuser.closed?.by, 'local');
      assert.deepEqual([refused.closed?.by, refused.closed?.reason], ['peer', 'refused']);
      assert.ok(!refused.events.some(({ type }) => type === 'open'));
    }
  });

  it('do without frames with a peer that has none', () => {
    for (const [ours, theirs] of [
      [{}, { frames: false }],
      [{ frames: false }, {}],
    ]) {
      const { client, server } = sshPair(ours, theirs);
      assert.ok(client.transport.canSend && server.transport.canSend);
      assert.equal(client.transport.hasFrames, false);
      assert.equal(server.transport.hasFrames, false);
    }
  });

  it('skip a message that the peer has guessed wrongly', () => {
    const client = new SshTransport({ end: 'client', signer: testKey(0), random: (n) => new Uint8Array(n) }, 0);
    const lists = [['other-kex', 'curve25519-sha256'], ['ssh-ed25519']];
    const ciphers = [['aes128-gcm@openssh.com'], ['aes128-gcm@openssh.com']];
    const rest = [['x'], ['x'], ['none'], ['none'], [], []];
    const init = concatBytes(
      byte(MSG.KEXINIT),
      new Uint8Array(16),
      ...[...lists, ...ciphers, ...rest].map(names),
      bool(true),
      uint32(0),
    );
    client.push(encodeText('SSH-2.0-guesser\r\n'), 0);
    client.push(writePacket([init], undefined), 0);
    assert.equal(client.next(0), 'handled');
    client.push(writePacket([byte(30), string('a guess')], undefined), 0);
    assert.equal(client.next(0), 'handled');
    const said = [];
    for (let output = client.poll(); output.type !== 'wait'; output = client.poll()) said.push(output.type);
    assert.ok(!said.includes('event'), 'it goes on');
  });

  it('give the user name that they are told, or none', () => {
    for (const user of [undefined, 'root']) {
      const client = new SshSide('client', 0, { user });
      const server = new RawSsh('server', testKey(1));
      for (let i = 0; i < 10; i++) {
        server.receive(client.take());
        if (i === 6) server.send(byte(MSG.SERVICE_ACCEPT), string('ssh-userauth'));
        client.receive(server.take());
      }
      const asked = server.payloads.find(([type]) => type === MSG.USERAUTH_REQUEST)!;
      const begin = concatBytes(byte(MSG.USERAUTH_REQUEST), string(user ?? ''), string('ssh-connection'));
      assert.deepEqual(asked.subarray(0, begin.length), begin);
    }
  });

  it('refuse invalid options', () => {
    for (const options of [
      { maxPacketBytes: 34_999 },
      { maxPacketBytes: 262_145 },
      { rekeyBytes: 10 },
      { rekeyAfterMs: 1 },
    ]) {
      assert.throws(() => new SshSide('client', 0, options), RangeError);
    }
  });
});

const OFFER = '1e00000020a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209';
const REPLY =
  '1f000000330000000b7373682d65643235353139000000204cb5abf6ad79fbf5abbccafcc269d85cd2651ed4b885b5869f241aedf0a5ba29' +
  '00000020ce8d3ad1ccb633ec7b70c17814a5c76ecd029685050d344745ba05870e587d59' +
  '000000530000000b7373682d65643235353139000000408ae66a36825ef5af88e4adef979155cf7e62d89c3198d28a3e6f7a058207c7cc' +
  '466e76a11ff906b8799b474bb22234c727f715eb175ac0a4002a9356a367480f';
const SESSION = 'c0fcdb6568bb914a72c3d853eb1825503f364f89c325164d3b40f17d3a55e4fa';
const CLEAR = '000000140950000000000070696e67000000000000000000';
const SEALED = '00000010c52499778a1c6e5d30e904bc1f5dd519e689245b77a426af49651b771da8255a';

describe('docs/wire/ssh.md §8', () => {
  const versions = { client: encodeText('SSH-2.0-shoal'), server: encodeText('SSH-2.0-shoal') };
  const sides = (['client', 'server'] as const).map((end, i) => {
    const [cookie, seed] = [new Uint8Array(16).fill(i), new Uint8Array(32).fill(i + 1)];
    return new KeyExchange({ end, signer: testKey(i), versions, cookie, seed, sessionId: undefined });
  });
  const [client, server] = sides as [KeyExchange, KeyExchange];
  const offer = client.handleInit(server.init) as Bytes;
  server.handleInit(client.init);
  const atServer = server.handle(offer) as Exclude<ReturnType<KeyExchange['handle']>, string>;
  const atClient = client.handle(atServer.reply!) as Exclude<ReturnType<KeyExchange['handle']>, string>;

  it('has the messages, the session identifier and the first packet of an exchange', () => {
    assert.equal(toHex(offer), OFFER);
    assert.equal(toHex(atServer.reply!), REPLY);
    assert.equal(
      toHex(hash('sha256', client.init)),
      'd8a19aab6d204ad7386613c94a88717f65caf3465c0a7236df1f952c99c1d108',
    );
    assert.equal(
      toHex(hash('sha256', server.init)),
      '289b918f722262a847224ffefdc823c3f08ef153cd28e509ae7b09a0f53f1786',
    );
    assert.deepEqual(atClient.hostKey, testKey(1).publicKey);
    for (const { sessionId } of [atClient, atServer]) assert.equal(toHex(sessionId), SESSION);
    assert.equal(toHex(writePacket([message('ping')], undefined)), CLEAR);
    assert.equal(toHex(writePacket([message('ping')], atClient.toServer)), SEALED);
    const reader = new PacketReader(35_000);
    reader.setKey(atServer.toServer);
    reader.push(fromHex(SEALED));
    assert.deepEqual(reader.next(), message('ping'));
  });

  it('shows the same bytes on the page', () => {
    const page = readFileSync(new URL('../../../docs/wire/ssh.md', import.meta.url), 'utf8').replaceAll(/\s/g, '');
    for (const bytes of [OFFER, REPLY, SESSION, CLEAR, SEALED]) assert.ok(page.includes(bytes), bytes);
  });
});
