/** A swarm through a TURN server in virtual time: credentials, renewal, permissions, channels, and every way it can end. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { inspect } from '../../src/core/inspect.ts';
import { openTurnSwarm, type TurnSwarm, type TurnSwarmOptions } from '../../src/nat/index.ts';
import { parseUdpAddr } from '../../src/net/socket-address.ts';
import { TURN_METHOD } from '../../src/protocols/turn/constants.ts';
import { restCredentials } from '../../src/protocols/turn/credentials.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { TurnTestServer } from '../support/turn-server.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

interface Cast {
  readonly w: VirtualWorld;
  readonly server: TurnTestServer;
  readonly ip: string;
  readonly open: (options?: Partial<TurnSwarmOptions>) => Promise<TurnSwarm>;
}

async function cast(): Promise<Cast> {
  const w = new VirtualWorld({ latencyMs: 10, trace: undefined });
  const host = w.net.host();
  const server = await w.run(TurnTestServer.open(host.network, host.realm, host.ip));
  const open = (options: Partial<TurnSwarmOptions> = {}) => {
    const { network, realm } = w.net.host({ behind: w.net.nat('random') });
    const own = { server: `${host.ip}:3478`, username: 'user', network, realm };
    const secrets = options.secret === undefined ? { credential: 'secret' } : {};
    return w.run(openTurnSwarm({ ...own, ...secrets, ...options }));
  };
  return { w, server, ip: host.ip, open };
}

/** Counts equal lines. */
const count = (log: readonly string[], line: string): number => log.filter((each) => each === line).length;

for (const transport of ['udp', 'tcp'] as const) {
  describe(`a swarm through a TURN server over ${transport}`, () => {
    it('has the relayed address, knows its mapped one, and takes datagrams of peers that it has sent to', async () => {
      const { w, server, ip, open } = await cast();
      const swarm = await open({ transport });
      assert.equal(swarm.addr.ip, ip);
      assert.notEqual(swarm.mapped?.ip, ip);
      const [far, stranger] = [w.net.host(), w.net.host()];
      const [bob, eve] = [await openUdpSwarm({ ...far }), await openUdpSwarm({ ...stranger })];
      const heard: string[] = [];
      swarm.listen(
        ({ src, dst, payload }) =>
          void heard.push(`${payload[0]} from ${src.ip === far.ip ? 'bob' : 'eve'} to ${dst.text === swarm.addr.text}`),
      );
      bob.listen(({ src, payload }) => void bob.tell(src, payload));
      const at = bob.localAddrs().find(({ ip: own }) => own === far.ip)!;
      await w.run(swarm.tell(at, Uint8Array.of(7)));
      await w.run(eve.tell(swarm.addr.text, Uint8Array.of(9)));
      await w.advance(200);
      assert.deepEqual(heard, ['7 from bob to true']);
      assert.equal(count(server.state.log, 'CREATE_PERMISSION'), 1, 'permission first, then the datagram');
      assert.ok(server.state.log.indexOf('CREATE_PERMISSION') < server.state.log.indexOf('Send'));
      await w.run(swarm.permit(parseUdpAddr(`${stranger.ip}:1`)));
      await w.run(eve.tell(swarm.addr.text, Uint8Array.of(9)));
      await w.advance(200);
      assert.equal(heard.length, 2);
      await w.run(swarm.close());
      await w.advance(100);
      assert.equal(server.allocations.size, 0);
      assert.ok(transport === 'tcp' || server.state.log.includes('REFRESH 0'));
    });

    it('sends what waits for a permission once it is granted, and gives a busy peer a channel', async () => {
      const { w, server, open } = await cast();
      const swarm = await open({ transport });
      const far = w.net.host();
      const bob = await openUdpSwarm({ ...far });
      let heard = 0;
      bob.listen(({ src, payload }) => {
        heard++;
        void bob.tell(src, payload);
      });
      let answers = 0;
      swarm.listen(() => void answers++);
      const at = `${far.ip}:${bob.addr.port}`;
      for (let i = 0; i < 10; i++) await w.run(swarm.tell(at, Uint8Array.of(i)));
      assert.equal(inspect(swarm).state['held'], 10);
      await w.run(swarm.drain());
      await w.advance(200);
      assert.deepEqual([heard, answers, count(server.state.log, 'CHANNEL_BIND')], [10, 10, 1]);
      for (let i = 0; i < 5; i++) await w.run(swarm.tell(at, Uint8Array.of(i)));
      await w.advance(200);
      assert.deepEqual([heard, answers, count(server.state.log, 'ChannelData')], [15, 15, 5]);
      await w.run(swarm.close());
    });

    it('keeps allocation, permissions and channels over an hour, with nonces that go stale', async () => {
      const { w, server, open } = await cast();
      const swarm = await open({ transport });
      const far = w.net.host();
      const bob = await openUdpSwarm({ ...far });
      bob.listen(({ src, payload }) => void bob.tell(src, payload));
      let answers = 0;
      swarm.listen(() => void answers++);
      const at = `${far.ip}:${bob.addr.port}`;
      for (let minute = 0; minute < 60; minute++) {
        server.state.nonce = `nonce-${minute}`;
        await w.run(swarm.tell(at, Uint8Array.of(1)));
        await w.advance(60_000);
      }
      assert.equal(answers, 60);
      assert.equal(count(server.state.log, 'Send without permission'), 0);
      assert.ok(count(server.state.log, 'REFRESH') >= 11, 'at half of its 600 s');
      assert.ok(count(server.state.log, 'REFRESH 438') > 5);
      await w.run(swarm.close());
    });

    it('keeps a permission that was asked for, also without a datagram', async () => {
      const { w, server, open } = await cast();
      const swarm = await open({ transport });
      const far = w.net.host();
      await w.run(swarm.permit(`${far.ip}:1`));
      await w.advance(3_600_000);
      const bob = await openUdpSwarm({ ...far });
      let heard = 0;
      swarm.listen(() => void heard++);
      await w.run(bob.tell(swarm.addr.text, Uint8Array.of(1)));
      await w.advance(200);
      assert.equal(heard, 1);
      assert.ok(count(server.state.log, 'CREATE_PERMISSION') >= 12);
      await w.run(swarm.close());
    });

    it('ends with the cause when the allocation is gone, or the server no longer answers', async () => {
      const { w, server, open } = await cast();
      const swarm = await open({ transport });
      server.state.refuse = new Map([[TURN_METHOD.REFRESH, 437]]);
      await w.advance(310_000);
      const how = await swarm.closed;
      assert.equal(how.by, 'failure');
      assert.ok(P2PError.is(how.cause, 'disconnected') && /437/.test(how.cause.message));
      await assert.rejects(w.run(swarm.tell('192.0.2.1:9', Uint8Array.of(1))), (error) => P2PError.is(error, 'closed'));

      const other = await cast();
      const silent = await other.open({ transport });
      other.server.state.isSilent = true;
      await other.w.advance(590_000);
      assert.equal(silent.localAddrs().length, 1, 'not before the allocation has run out');
      await other.w.advance(20_000);
      assert.ok(P2PError.is((await silent.closed).cause, 'timeout'));
    });
  });
}

describe('opening a swarm through a TURN server', () => {
  it('fails in words of the server, with a code that says what to do', async () => {
    for (const [error, code] of [
      [403, 'refused'],
      [437, 'disconnected'],
      [440, 'unsupported'],
      [442, 'unsupported'],
      [486, 'limit_exceeded'],
      [508, 'limit_exceeded'],
      [500, 'refused'],
    ] as const) {
      const { server, open } = await cast();
      server.state.refuse = new Map([[TURN_METHOD.ALLOCATE, error]]);
      await assert.rejects(
        open(),
        (thrown) => P2PError.is(thrown, code) && thrown.message.endsWith(`the server says ${error} because`),
      );
    }
  });

  it('with a wrong password fails after two requests, and does not show the password', async () => {
    const { server, open } = await cast();
    await assert.rejects(
      open({ credential: 'password1' }),
      (error) => P2PError.is(error, 'refused') && /401/.test(error.message) && !error.message.includes('password1'),
    );
    assert.deepEqual(server.state.log, ['ALLOCATE 401', 'ALLOCATE 401']);
  });

  it('fails when the server has another realm than is expected', async () => {
    const { open } = await cast();
    await assert.rejects(open({ serverRealm: 'elsewhere' }), (error) => P2PError.is(error, 'refused'));
    await (await open({ serverRealm: 'lab' })).close();
  });

  it('fails when nobody answers, and when it is aborted', async () => {
    const { w, server, open } = await cast();
    server.state.isSilent = true;
    const before = w.realm.nowMs();
    await assert.rejects(open(), (error) => P2PError.is(error, 'timeout'));
    assert.equal(w.realm.nowMs() - before, 11_750);
    const given = new AbortController();
    const opening = open({ signal: given.signal });
    given.abort(new Error('enough'));
    await assert.rejects(opening, /enough/);
    await assert.rejects(open({ transport: 'tcp', server: '203.0.113.200:3478' }), (error) => P2PError.is(error));
  });

  it('takes credentials of the REST API, made of a secret', async () => {
    const { w, server, open } = await cast();
    const expiresS = (w.realm.wallMs() + 3_600_000) / 1000;
    const { username, password } = restCredentials('shared', 'ann', expiresS);
    server.state.passwords = new Map([[username, password]]);
    await (await open({ username: 'ann', secret: 'shared', credentialLifetimeMs: 3_600_000 })).close();
  });

  it('asks again when its first requests are lost', async () => {
    const { w, server, open } = await cast();
    server.state.isSilent = true;
    const opening = open();
    w.realm.clock.setTimer(w.realm.nowMs() + 1000, () => (server.state.isSilent = false));
    await (await opening).close();
  });

  it('takes no other options', async () => {
    const { open } = await cast();
    for (const wrong of [
      { credential: undefined },
      { secret: 'x', credential: 'y' },
      { transport: 'sctp' as 'udp' },
      { family: 5 as 4 },
      { server: 'turn.example.org:3478' },
      { server: '192.0.2.1:0' },
    ]) {
      await assert.rejects(
        async () => open(wrong),
        (error) => error instanceof TypeError || error instanceof RangeError,
      );
    }
  });
});

describe('a peer that the server forbids', () => {
  it('gets nothing, is counted, and a call that waits for its permission is refused', async () => {
    const { w, server, open } = await cast();
    const swarm = await open();
    const far = w.net.host();
    server.state.forbidden = new Set([far.ip]);
    await w.run(swarm.tell(`${far.ip}:9`, Uint8Array.of(1)));
    await w.advance(100);
    assert.equal(swarm.counters.drops.get('turn.forbidden'), 1);
    await assert.rejects(
      w.run(swarm.permit(`${far.ip}:9`)),
      (error) => P2PError.is(error, 'refused') && /403/.test(error.message),
    );
    await w.run(swarm.close());
  });
});
