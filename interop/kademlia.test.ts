/** The DHT's JSON form with the independent Go peer, whose types and encoder are those of go-p2p, in both directions. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { SecureAskSwarm } from 'shoal';
import { decodeText, encodeText } from 'shoal/bytes';
import { type Dht, openDht } from 'shoal/kademlia';
import { mbapp } from 'shoal/mbapp';
import { type P2pkeAddr, p2pke } from 'shoal/p2pke';
import { testKey } from 'shoal/testing';
import { openUdpSwarm, type UdpAddr } from 'shoal/udp';
import { type GoCommand, GoPeer, goMissing } from './go-peer.ts';

type Address = P2pkeAddr<UdpAddr>;

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('the DHT with the independent Go peer, in the network without a name', { skip: goMissing() }, () => {
  let go: GoPeer;
  let goAddr: string;
  let swarm: SecureAskSwarm<Address>;
  let dht: Dht<Address>;

  before(async () => {
    go = new GoPeer('udp,p2pke,mbapp', 81, ['--kademlia']);
    goAddr = await go.address();
    const udp = await openUdpSwarm({ bind: '127.0.0.1:0' });
    swarm = mbapp(p2pke(udp, { privateKey: testKey(81) }), { preset: 'go-p2p' });
    dht = await openDht(swarm, { networkName: '', privateKey: testKey(81), bootstrap: [goAddr] });
    await dht.ready;
  });

  after(async () => {
    await dht?.close();
    await go?.[Symbol.asyncDispose]();
  });

  const ask = async (command: GoCommand): Promise<Readonly<Record<string, unknown>>> => {
    go.command(command);
    return JSON.parse(Buffer.from(await go.bytes('answer')).toString()) as Readonly<Record<string, unknown>>;
  };

  it('we join by it, and it is a contact that speaks JSON', async () => {
    assert.deepEqual(
      dht.table().map(({ addr, form }) => [addr, form]),
      [[goAddr, 'json']],
    );
    assert.ok((await dht.ping(goAddr)) >= 0);
  });

  it('it keeps a value for us, and gives it back', async () => {
    const { accepted } = await dht.put(encodeText('ours'), encodeText('value'));
    assert.deepEqual(accepted, [2]);
    const raw = await swarm.ask(goAddr, encodeText(`{"key":"${base64('ours')}"}`));
    const { value, expires_at: expires } = JSON.parse(decodeText(raw)!) as { value: string; expires_at: object };
    assert.equal(value, base64('value'));
    assert.ok('s' in expires);
    const stranger = mbapp(p2pke(await openUdpSwarm({ bind: '127.0.0.1:0' }), { privateKey: testKey(82) }), {
      preset: 'go-p2p',
    });
    await using other = await openDht(stranger, { networkName: '', bootstrap: [goAddr], kind: 'client', form: 'json' });
    await other.ready;
    const found = await other.get(encodeText('ours'));
    assert.equal(found.value === undefined ? undefined : decodeText(found.value), 'value', found.explain.text);
    assert.ok(found.ttlMs <= 1000, `its time of expiry is now, to the second: ${found.ttlMs} ms`);
  });

  it('it stores a value here, and gets it, with its times exact beyond 2^53', async () => {
    const dst = swarm.addr.text;
    assert.deepEqual(await ask({ cmd: 'kad-put', dst, payload: base64('theirs=thing') }), {
      accepted: true,
      closer: null,
    });
    const got = await ask({ cmd: 'kad-get', dst, payload: base64('theirs') });
    assert.equal(got['value'], base64('thing'));
    go.command({ cmd: 'kad-get', dst, payload: base64('theirs') });
    const text = Buffer.from(await go.bytes('answer')).toString();
    const seconds = BigInt(/"s":(\d+)/.exec(text)![1]!) - 2n ** 62n - 37n;
    const leftMs = Number(seconds) * 1000 - Date.now();
    assert.ok(leftMs > 200_000 && leftMs <= 301_000, `${leftMs} ms left`);
    assert.equal((await dht.get(encodeText('theirs'))).value?.length, 5);
  });

  it('it finds nodes by us, and pings us', async () => {
    const dst = swarm.addr.text;
    const { nodes } = (await ask({ cmd: 'kad-find', dst, payload: base64(dht.id) })) as {
      nodes: { id: string; info: string }[] | null;
    };
    // We know only the one that asks, which is not told of itself.
    assert.equal(nodes, null);
    const { timestamp } = (await ask({ cmd: 'kad-ping', dst })) as { timestamp: { ns: number } };
    assert.ok(timestamp.ns >= 0 && timestamp.ns < 1_000_000_000);
  });
});
