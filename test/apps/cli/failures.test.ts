import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { generateKey, peerIdOfKey } from 'shoal/keys';
import { assertFails, listening, shoal, startShoal } from './command.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** In proper form, and without anybody. */
const NOBODY = `${peerIdOfKey(generateKey().publicKey)}@127.0.0.1:9`;

describe('shoal refuses wrong usage with exit code 2 and one line', { concurrency: 2 }, () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['an unknown command', ['listn'], /unknown command 'listn' \(Did you mean listen\?\)/],
    ['an unknown option', ['listen', '--stak', 'udp'], /unknown option '--stak' \(Did you mean --stack\?\)/],
    ['a missing argument', ['tell', '--stack', 'udp'], /missing required argument 'ADDR'/],
    ['an unknown layer', ['listen', '--stack', 'udp,frog'], /no layer is called "frog"; did you mean frag\?/],
    ['an unheard-of layer', ['listen', '--stack', 'zzzzzzz'], /no layer is called "zzzzzzz"; there are udp, /],
    ['an empty stack', ['listen', '--stack', ''], /expected layers with commas between, as in udp,frag/],
    ['a stack without a socket', ['listen', '--stack', 'frag'], /frag needs a layer below it; write udp,frag/],
    ['a stack upside down', ['listen', '--stack', 'frag,udp'], /frag needs a layer below it; write udp,frag/],
    [
      'two sockets',
      ['listen', '--stack', 'udp,frag,udp'],
      /udp opens a socket, so it stands at the bottom; write udp,frag/,
    ],
    [
      'a layer with too little room below',
      ['listen', '--stack', 'udp,p2pke,p2pke,quic'],
      /needs messages of 1200 bytes below it, udp,p2pke,p2pke carries 1192; write udp,p2pke,p2pke,frag,quic/,
    ],
    ['a mux without a channel', ['listen', '--stack', 'udp,mux'], /write mux:KIND:ID, as in mux:string:chat/],
    ['a mux channel of the wrong kind', ['listen', '--stack', 'udp,mux:u16:x'], /a u16 channel is a whole number/],
    ['a mux channel out of range', ['listen', '--stack', 'udp,mux:u16:70000'], /0 to 65535, got 70000/],
    ['settings of a layer that has none', ['listen', '--stack', 'udp:5000'], /write udp, it has no settings/],
    [
      'asks over a stack without',
      ['ask', '--stack', 'udp', '127.0.0.1:9', '--data', 'x'],
      /write udp,mbapp on both sides/,
    ],
    [
      'a key that no layer takes',
      ['listen', '--stack', 'udp', '--key', 'x.pem'],
      /no layer of udp has keys; add .*quic/,
    ],
    [
      'an address of the wrong kind',
      ['tell', '--stack', 'udp', NOBODY, '--data', 'x'],
      /expected 127\.0\.0\.1:5000 or/,
    ],
    [
      'an address without a PeerID',
      ['tell', '--stack', 'quic', '127.0.0.1:9', '--data', 'x'],
      /expected <PeerID>@<inner address>/,
    ],
    ['a hostname', ['tell', '--stack', 'udp', 'example.org:9', '--data', 'x'], /resolve it first/],
    [
      'a bind address that is none',
      ['listen', '--stack', 'udp', '--bind', 'here'],
      /Cannot take bind: expected 127\.0\.0\.1:5000/,
    ],
    ['nothing to send', ['tell', '--stack', 'udp', '127.0.0.1:9'], /give one of --data TEXT, --file FILE, or -/],
    ['two things to send', ['tell', '--stack', 'udp', '127.0.0.1:9', '-', '--data', 'x'], /give one of/],
    ['text where none is taken', ['tell', '--stack', 'udp', '127.0.0.1:9', 'hello'], /text to send goes behind --data/],
    ['a number that is none', ['ping', '127.0.0.1:9', '--count', 'many'], /Expected a whole number from 1 to 1000000/],
  ];
  for (const [what, args, line] of cases) {
    it(what, async () => assertFails(await shoal(args), 2, line));
  }
});

describe('shoal fails with exit code 1 and one line', { concurrency: 2 }, () => {
  it('when the port is in use', async () => {
    await using first = await listening('--stack', 'udp');
    assertFails(
      await shoal(['listen', '--stack', 'udp', '--bind', first.addr]),
      1,
      new RegExp(`Cannot bind UDP to ${first.addr}: the port is in use`),
    );
  });

  it('when the address to bind to is not this machine’s', async () => {
    assertFails(await shoal(['listen', '--stack', 'udp', '--bind', '192.0.2.1:0']), 1, /does not have that address/);
  });

  it('when a message does not fit, and says what to add', async () => {
    const tell = ['tell', '--stack', 'udp', '127.0.0.1:9', '--data', 'x'.repeat(2000)];
    assertFails(await shoal(tell), 1, /2000 bytes, limit is 1232 bytes.*add frag to --stack/);
  });

  it('when nobody is there', async () => {
    for (const args of [
      ['ask', '--stack', 'udp,mbapp', '127.0.0.1:9'],
      ['ask', '--stack', 'quic', NOBODY],
      ['tell', '--stack', 'quic', NOBODY],
      ['tell', '--stack', 'udp,p2pke', NOBODY],
    ]) {
      assertFails(await shoal([...args, '--data', 'x', '--timeout', '200']), 1, /200 ms.*is the peer there/);
    }
  });

  it('when somebody else is there', async () => {
    for (const stack of ['quic', 'udp,p2pke,mbapp']) {
      await using bob = await listening('--stack', stack);
      const wrong = NOBODY.replace('127.0.0.1:9', bob.addr.split('@')[1]!);
      assertFails(await shoal(['ask', '--stack', stack, wrong, '--data', 'x']), 1, /another key than the address says/);
    }
  });

  it('when a file cannot be read', async () => {
    const file = path.join(folder, 'absent');
    assertFails(
      await shoal(['tell', '--stack', 'udp', '127.0.0.1:9', '--file', file]),
      1,
      /Cannot read .*absent: ENOENT/,
    );
    assertFails(await shoal(['listen', '--key', file]), 1, /Cannot use key file .*absent: ENOENT|ENOENT.*absent/);
    assertFails(await shoal(['id', file]), 1, /absent/);
  });

  it('when a key file holds no key, or lies open to others', async () => {
    const garbage = path.join(folder, 'garbage.pem');
    writeFileSync(garbage, 'hello', { mode: 0o600 });
    assertFails(await shoal(['id', garbage]), 1, /Cannot .*garbage\.pem/);
    const open = path.join(folder, 'open.pem');
    const { stdout } = await shoal(['keygen']);
    writeFileSync(open, stdout, { mode: 0o644 });
    if (process.platform !== 'win32') assertFails(await shoal(['id', open]), 1, /its mode is 0644.*chmod 600/);
  });

  it('when Ctrl-C comes while it waits', async () => {
    await using asking = startShoal('ask', '--stack', 'udp,mbapp', '127.0.0.1:9', '--data', 'x', '--verbose');
    await asking.noted(/opened/);
    const ended = await asking.interrupt();
    assert.equal(ended.code, 1);
  });
});
