import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertFails, listening, shoal, startShoal } from './command.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('shoal listen and tell', { concurrency: 2 }, () => {
  for (const stack of [
    'udp',
    'udp,frag',
    'udp,mux:string:chat',
    'udp,frag,frag,mux:u16:7',
    'udp,mbapp',
    'udp,quic',
    'udp,p2pke',
    'udp,p2pke,p2pke,frag',
    'tcp,mux:string:chat',
  ]) {
    it(`carries a message over ${stack}`, async () => {
      await using bob = await listening('--stack', stack);
      const told = await shoal(['tell', '--stack', stack, bob.addr, '--data', 'hello', '--json']);
      assert.equal(told.code, 0, told.stderr);
      assert.deepEqual(told.events, [{ event: 'told', dst: bob.addr, bytes: 5 }]);
      const { src, dst, payload } = await bob.next('tell');
      assert.equal(payload, base64('hello'));
      assert.equal(dst, bob.addr);
      assert.notEqual(src, bob.addr);
      const ended = await bob.interrupt();
      assert.equal(ended.code, 0);
      assert.equal(ended.stderr, '');
      assert.equal(ended.events.at(-1)?.['received'], 1);
    });
  }

  it('sends what comes on standard input, larger than a datagram, over frag', async () => {
    const input = new Uint8Array(100_000).map((_, i) => i);
    await using bob = await listening('--stack', 'udp,frag');
    const told = await shoal(['tell', '--stack', 'udp,frag', bob.addr, '-'], input);
    assert.equal(told.stdout, `told 100000 bytes to ${bob.addr}\n`);
    const { payload } = await bob.next('tell');
    assert.equal(payload, Buffer.from(input).toString('base64'));
  });

  it('shows where it listens and what comes in plain lines, harmless for a terminal', async () => {
    const child = startShoal('listen', '--stack', 'udp', '--verbose');
    await using bob = child;
    const { addr } = await bob.next('listening');
    await shoal(['tell', '--stack', 'udp', String(addr), '--data', '\u{1b}[2Jx']);
    const { payload } = await bob.next('tell');
    assert.equal(payload, base64('\u{1b}[2Jx'));
    const { stderr } = await bob.interrupt();
    assert.deepEqual(
      stderr
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { type: string }).type),
      ['opened', 'closed'],
    );
  });
});

describe('shoal ask and ping', { concurrency: 2 }, () => {
  for (const stack of ['udp,p2pke,mbapp', 'quic', 'tcp', 'ssh', 'udp,frag,quic', 'udp,mbapp,mux:string:a:b']) {
    it(`asks over ${stack} and prints the answer as it is`, async () => {
      await using bob = await listening('--stack', stack, '--echo');
      const asked = await shoal(['ask', '--stack', stack, bob.addr, '--data', 'what?']);
      assert.equal(asked.stderr, '');
      assert.equal(asked.stdout, 'what?');
      assert.equal((await bob.next('ask'))['payload'], base64('what?'));
      const { code, events } = await shoal(['ask', '--stack', stack, bob.addr, '--data', 'what?', '--json']);
      assert.equal(code, 0);
      assert.equal(events[0]?.['payload'], base64('what?'));
    });
  }

  for (const stack of ['udp', 'udp,p2pke', 'udp,mbapp', 'quic', 'tcp', 'ssh']) {
    it(`measures round trips over ${stack}`, async () => {
      await using bob = await listening('--stack', stack, '--echo');
      const pinged = await shoal(['ping', '--stack', stack, bob.addr, '--count', '4', '--interval', '0', '--json']);
      assert.equal(pinged.code, 0, pinged.stderr);
      const summary = pinged.events.at(-1)!;
      assert.deepEqual([summary['event'], summary['sent'], summary['received'], summary['lost']], ['summary', 4, 4, 0]);
      assert.equal(pinged.events.filter(({ event }) => event === 'pong').length, 4);
      assert(Number(summary['minMs']) <= Number(summary['medianMs']));
      assert(Number(summary['medianMs']) <= Number(summary['p99Ms']));
    });
  }

  it('counts what does not come back as lost, and fails when nothing does', async () => {
    await using deaf = await listening('--stack', 'udp');
    const options = ['--count', '2', '--interval', '0', '--timeout', '50'];
    const pinged = await shoal(['ping', '--stack', 'udp', deaf.addr, ...options]);
    assert.match(pinged.stdout, /2 sent, 0 came back, 2 lost\n$/);
    assertFails(pinged, 1, /No answer from .*listen --echo --stack udp/);
  });
});
