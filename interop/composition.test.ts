/**
 * frag, mux and mbapp, plain and over p2pke, against the independent Go peer, in both directions.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import type { Addr } from 'shoal';
import { type AskSwarm, type Swarm, canAsk, receiveOne } from 'shoal';
import { frag } from 'shoal/frag';
import { mbapp } from 'shoal/mbapp';
import { mux } from 'shoal/mux';
import { p2pke } from 'shoal/p2pke';
import { testKey } from 'shoal/testing';
import { openUdpSwarm } from 'shoal/udp';
import { GoPeer, goMissing } from './go-peer.ts';

interface Stack {
  readonly go: string;
  readonly wrap: (inner: Swarm<Addr>) => Swarm<Addr>;
  /** Bytes of the messages that go both ways. */
  readonly sizes: (mtu: number) => readonly number[];
}

const MIB = 1_048_576;
/** The Go peer puts "echo:" in front of what it sends back. */
const ECHO_BYTES = 5;
const STACKS: readonly Stack[] = [
  { go: 'frag', wrap: (inner) => frag(inner), sizes: (mtu) => [0, 1, 1000, mtu] },
  {
    go: 'mbapp',
    wrap: (inner) => mbapp(inner, { preset: 'go-p2p' }),
    sizes: () => [0, 1, 1000, 100_000, MIB - ECHO_BYTES],
  },
  { go: 'mux:string:chat', wrap: (inner) => mux(inner, 'string').open('chat'), sizes: (mtu) => [0, 1, mtu] },
  { go: 'mux:u16:7', wrap: (inner) => mux(inner, 'u16').open(7), sizes: (mtu) => [0, 1, mtu] },
  { go: 'mux:u32:7', wrap: (inner) => mux(inner, 'u32').open(7), sizes: (mtu) => [0, 1, mtu] },
  { go: 'mux:u64:7', wrap: (inner) => mux(inner, 'u64').open(7n), sizes: (mtu) => [0, 1, mtu] },
  { go: 'mux:varint:300', wrap: (inner) => mux(inner, 'varint').open(300), sizes: (mtu) => [0, 1, mtu] },
  {
    go: 'mbapp,mux:string:chat',
    wrap: (inner) => mux(mbapp(inner, { preset: 'go-p2p' }), 'string').open('chat'),
    sizes: () => [0, 1, 100_000],
  },
];

// Stacks are made at run time, so their address types are known only as Addr.
const plain = (swarm: unknown): Swarm<Addr> => swarm as Swarm<Addr>;

const payloadOf = (size: number): Uint8Array => new Uint8Array(size).map((_, i) => i * 31 + size);

for (const base of ['udp', 'udp,p2pke']) {
  for (const { go, wrap, sizes } of STACKS) {
    describe(`${base},${go} against the independent Go peer`, { skip: goMissing() }, () => {
      let peer: GoPeer;
      let udp: Swarm<Addr>;
      let swarm: Swarm<Addr>;
      let dst: Addr;

      before(async () => {
        peer = new GoPeer(`${base},${go}`, 5, ['--echo']);
        udp = plain(await openUdpSwarm({ bind: '127.0.0.1:0' }));
        swarm = wrap(base === 'udp' ? udp : plain(p2pke(udp, { privateKey: testKey(1) })));
        dst = swarm.parseAddr(await peer.address());
      });

      after(async () => {
        // A channel does not close what it is a channel of.
        await swarm.close();
        await udp.close();
        await peer[Symbol.asyncDispose]();
      });

      it('tells arrive there, and their echo here, in every size', async () => {
        for (const size of sizes(swarm.mtu(dst) - ECHO_BYTES)) {
          const echo = receiveOne(swarm, { timeoutMs: 15_000 });
          await swarm.tell(dst, payloadOf(size));
          assert.deepEqual(await peer.bytes('tell'), payloadOf(size));
          assert.deepEqual(
            (await echo).payload,
            new Uint8Array(Buffer.concat([Buffer.from('echo:'), payloadOf(size)])),
          );
        }
      });

      if (!go.includes('mbapp')) return; // nothing else of these brings asks
      it('asks are answered in both directions, and refused', async () => {
        assert(canAsk(swarm));
        const asks: AskSwarm<Addr> = swarm;
        for (const size of sizes(asks.maxRequestBytes(dst)).map((each) => Math.max(each - ECHO_BYTES, 0))) {
          const answer = await asks.ask(dst, payloadOf(size), { timeoutMs: 15_000 });
          assert.deepEqual(answer, new Uint8Array(Buffer.concat([Buffer.from('echo:'), payloadOf(size)])));
        }
        await assert.rejects(asks.ask(dst, new TextEncoder().encode('refuse')), /refused/);
        const serving = asks.serve(({ payload }) => payload.toReversed());
        const here = asks.addr.text;
        for (const size of [0, 1, 100_000]) {
          peer.send('ask', here, payloadOf(size));
          assert.deepEqual(await peer.bytes('answer'), payloadOf(size).toReversed());
        }
        serving[Symbol.dispose]();
        peer.send('ask', here, payloadOf(1));
        assert.match((await peer.next('error')).message!, /refused with code 255/);
      });
    });
  }
}
