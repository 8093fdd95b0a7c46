import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { encodeText, fromHex } from 'shoal/bytes';
import { testKey } from 'shoal/testing';
import { peerIdOfKey } from 'shoal/keys';
import { openPeers } from 'shoal/peers';
import { type Manifest, decodeManifest, encodeManifest } from '../../../apps/cli/src/transfer/manifest.ts';
import { decodeRequest, encodeRequest } from '../../../apps/cli/src/transfer/messages.ts';
import { makeOffer } from '../../../apps/cli/src/transfer/offer.ts';
import { Progress, progressLine, sizeText } from '../../../apps/cli/src/transfer/progress.ts';
import { decodeTicket, encodeTicket } from '../../../apps/cli/src/transfer/ticket.ts';
import { type Running, assertFails, machineLan, shoal, startShoal } from './command.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-transfer-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => {
  const made = path.join(folder, String(folders++));
  mkdirSync(made);
  return made;
};
const byName = (a: string, b: string): number => (a < b ? -1 : 1);
const hashOf = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

async function sending(file: string, ...args: readonly string[]): Promise<Running & { readonly ticket: string }> {
  const running = startShoal('send', file, '--bind', '127.0.0.1:0', ...args);
  const { ticket } = await running.next('ticket');
  return { ...running, ticket: String(ticket) };
}

/** A sender that gives of a file only the bytes up to `stallAt`, until it is told to go on. */
async function stallingSender(
  file: string,
  stallAt: number,
): Promise<AsyncDisposable & { readonly ticket: string; readonly goOn: () => void }> {
  const privateKey = testKey(2);
  const { signal } = new AbortController();
  const noProgress = { add: () => undefined, [Symbol.dispose]: () => undefined };
  const offer = await makeOffer(
    file,
    privateKey,
    signal,
    () => undefined,
    () => noProgress,
  );
  const peers = await openPeers({ bind: '127.0.0.1:0', privateKey });
  const { promise, resolve } = Promise.withResolvers<void>();
  peers.serve(async ({ payload }) => {
    const request = decodeRequest(payload);
    if (request.type === 'read' && request.file > 0 && request.offset >= stallAt) await promise;
    return offer.answer(payload, () => undefined);
  });
  const addrs = peers.addrs.map((addr) => addr.slice(addr.indexOf('@') + 1));
  const ticket = encodeTicket({ id: peers.id, secret: offer.secret, hash: offer.hash, addrs });
  return { ticket, goOn: resolve, [Symbol.asyncDispose]: () => peers.close() };
}

describe('shoal send and receive', { concurrency: 2 }, () => {
  it('carry a file of any size, an empty one too, under its name', async () => {
    const [from, to] = [newFolder(), newFolder()];
    for (const [name, bytes] of [
      ['empty', 0],
      ['one', 1],
      ['exactly a piece', 262_144],
      ['some pieces and a bit', 3_000_001],
    ] as const) {
      const file = path.join(from, name);
      writeFileSync(file, randomBytes(bytes));
      await using sender = await sending(file, '--once');
      const received = await shoal(['receive', sender.ticket, '--out', to, '--json']);
      assert.equal(received.code, 0, received.stderr);
      const event = received.events.at(-1)!;
      assert.deepEqual([event['event'], event['path'], event['bytes']], ['received', path.join(to, name), bytes]);
      assert.equal(hashOf(path.join(to, name)), hashOf(file));
      assert.equal((await sender.next('closed'))['event'], 'closed');
    }
    assert.equal(readdirSync(to).length, 4); // and no parts
  });

  it('carry a folder with all in it, but no links', async () => {
    const [from, to] = [newFolder(), newFolder()];
    const whole = path.join(from, 'whole');
    mkdirSync(path.join(whole, 'a', 'b'), { recursive: true });
    mkdirSync(path.join(whole, 'empty'));
    writeFileSync(path.join(whole, 'a', 'b', 'x'), 'x');
    writeFileSync(path.join(whole, 'run'), '#!/bin/sh\n', { mode: 0o755 });
    symlinkSync('/etc/passwd', path.join(whole, 'link'));
    await using sender = await sending(whole);
    const received = await shoal(['receive', sender.ticket, '--out', to]);
    assert.equal(received.code, 0, received.stderr);
    assert.match(received.stdout, /^received .*whole, 11 B in .*hashes right\n$/);
    assert.deepEqual(readdirSync(to, { recursive: true, encoding: 'utf8' }).toSorted(byName), [
      'whole',
      'whole/a',
      'whole/a/b',
      'whole/a/b/x',
      'whole/empty',
      'whole/run',
    ]);
    assert.equal(statSync(path.join(to, 'whole', 'run')).mode & 0o111, 0o111);
    await sender.noted(/left out .*link/);
    assertFails(await shoal(['receive', sender.ticket, '--out', to]), 1, /whole: it exists; --force replaces it/);
    const again = await shoal(['receive', sender.ticket, '--out', to, '--force']);
    assert.equal(again.code, 0, again.stderr);
    assert.deepEqual(readdirSync(to), ['whole']);
  });

  it('go on where they were interrupted, and never show half a file under its name', async () => {
    const [from, to] = [newFolder(), newFolder()];
    const file = path.join(from, 'large');
    const bytes = 8 * 2 ** 20;
    writeFileSync(file, randomBytes(bytes));
    const stalled = 2 * 2 ** 20;
    await using sender = await stallingSender(file, stalled);
    await using first = startShoal('receive', sender.ticket, '--out', to);
    const progress = await first.next('progress');
    const ended = await first.interrupt();
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /^shoal: Interrupted; what has come is kept, the same command goes on from there\n$/);
    assert.equal(existsSync(path.join(to, 'large')), false);
    sender.goOn();
    const received = await shoal(['receive', sender.ticket, '--out', to, '--json']);
    assert.equal(received.code, 0, received.stderr);
    // What progress has told of is kept.
    assert(Number(progress['bytes']) > 0);
    const fetched = Number(received.events.at(-1)!['fetchedBytes']);
    assert(fetched <= bytes - Number(progress['bytes']), `${fetched} of ${bytes}`);
    assert(fetched >= bytes - stalled);
    assert.equal(hashOf(path.join(to, 'large')), hashOf(file));
    assert.deepEqual(readdirSync(to), ['large']);
  });

  it('survive that the sender is gone for a while, where its key and port stay', async () => {
    const [from, to] = [newFolder(), newFolder()];
    const file = path.join(from, 'large');
    const key = path.join(from, 'key.pem');
    writeFileSync(file, randomBytes(96 * 1024 * 1024));
    await shoal(['keygen', '--out', key]);
    await using sender = await sending(file, '--key', key);
    const { addrs } = decodeTicket(sender.ticket);
    await using receiver = startShoal('receive', sender.ticket, '--out', to);
    await receiver.next('progress');
    sender.process.kill('SIGKILL');
    await receiver.next('cut');
    await using again = startShoal('send', file, '--key', key, '--bind', addrs[0]!);
    assert.equal((await again.next('ticket'))['ticket'], sender.ticket);
    assert.equal((await receiver.next('received'))['bytes'], 96 * 1024 * 1024);
    assert.equal(hashOf(path.join(to, 'large')), hashOf(file));
  });

  it('find a sender that was started again with its key, on another port, by the old ticket', async () => {
    const [from, to] = [newFolder(), newFolder()];
    const file = path.join(from, 'file');
    const key = path.join(from, 'key.pem');
    writeFileSync(file, randomBytes(300_000));
    await shoal(['keygen', '--out', key]);
    await using lan = await machineLan();
    const before = await sending(file, '--key', key, ...lan.args);
    await before[Symbol.asyncDispose]();
    await using sender = await sending(file, '--key', key, ...lan.args);
    const [old, now] = [decodeTicket(before.ticket), decodeTicket(sender.ticket)];
    assert.notDeepEqual(old.addrs, now.addrs);
    assert.deepEqual([old.id, old.secret, old.hash], [now.id, now.secret, now.hash]);
    const args = ['receive', before.ticket, '--out', to];
    assertFails(await shoal([...args, '--no-lan', '--timeout', '500']), 1, /the sender does not answer/);
    const received = await shoal([...args, ...lan.args]);
    assert.equal(received.code, 0, received.stderr);
    assert.equal(hashOf(path.join(to, 'file')), hashOf(file));
  });

  it('do without the LAN, with a note, when another program holds its port alone; a port of --bind must be free', async () => {
    const alone = createSocket('udp4').bind(0, '0.0.0.0');
    await once(alone, 'listening');
    const taken = String(alone.address().port);
    await using sender = await sending(import.meta.filename, '--lan-port', taken);
    await sender.noted(/^shoal: peers are not looked for on the LAN: Cannot bind UDP to .*: the port is in use$/m);
    const to = newFolder();
    const received = await shoal(['receive', sender.ticket, '--no-lan', '--out', to]);
    assert.equal(received.code, 0, received.stderr);
    const bound = ['--no-lan', '--bind', `127.0.0.1:${taken}`];
    assertFails(await shoal(['send', import.meta.filename, ...bound]), 1, /the port is in use/);
    alone.close();
  });

  it('refuse what a changed file, a spoilt part and a wrong secret would bring', async () => {
    const [from, to] = [newFolder(), newFolder()];
    const file = path.join(from, 'file');
    writeFileSync(file, randomBytes(1000));
    await using sender = await sending(file);
    const ticket = decodeTicket(sender.ticket);
    const part = path.join(to, `.file.${Buffer.from(ticket.hash).toString('hex').slice(0, 12)}.shoal-part`);
    writeFileSync(part, randomBytes(500));
    assertFails(await shoal(['receive', sender.ticket, '--out', to]), 1, /its hash is not the promised one/);
    assert.deepEqual(readdirSync(to), []);
    const other = encodeTicket({ ...ticket, secret: new Uint8Array(16) });
    assertFails(await shoal(['receive', other, '--out', to]), 1, /the sender does not know this ticket/);
    const wrongHash = encodeTicket({ ...ticket, hash: new Uint8Array(32) });
    assertFails(await shoal(['receive', wrongHash, '--out', to]), 1, /is not the one of the ticket/);
    writeFileSync(file, randomBytes(1000));
    assertFails(await shoal(['receive', sender.ticket, '--out', to]), 1, /the file has changed at the sender/);
    assert.deepEqual(readdirSync(to), []);
  });

  it('fail on one line when nobody is there, when it is another one, and when there is nothing to send', async () => {
    const to = newFolder();
    const id = peerIdOfKey(testKey(1).publicKey);
    const nobody = encodeTicket({ id, secret: new Uint8Array(16), hash: new Uint8Array(32), addrs: ['127.0.0.1:9'] });
    assertFails(await shoal(['receive', nobody, '--out', to, '--timeout', '500']), 1, /the sender does not answer/);
    await using sender = await sending(import.meta.filename);
    const another = encodeTicket({ ...decodeTicket(sender.ticket), id });
    assertFails(await shoal(['receive', another, '--out', to, '--timeout', '500']), 1, /does not answer/);
    assertFails(
      await shoal(['receive', 'shoal1.x', '--out', to]),
      2,
      /expected the whole line that `shoal send` prints/,
    );
    assertFails(await shoal(['send', path.join(to, 'nothing')]), 1, /Cannot send .*ENOENT/);
    assertFails(await shoal(['receive', sender.ticket, '--out', import.meta.filename]), 1, /Cannot receive: E/);
    assert.deepEqual(readdirSync(to), []);
  });
});

describe('what a transfer is made of', () => {
  it('a ticket says what was put into it, and nothing else is one', () => {
    const ticket = {
      id: peerIdOfKey(testKey(1).publicKey),
      secret: fromHex('00112233445566778899aabbccddeeff'),
      hash: new Uint8Array(32).fill(7),
      addrs: ['127.0.0.1:5000', '[::1]:6000'],
    };
    const text = encodeTicket(ticket);
    assert.deepEqual(decodeTicket(` ${text}\n`), ticket);
    for (let length = 0; length < text.length; length++) {
      assert.throws(() => decodeTicket(text.slice(0, length)), /Cannot use this ticket/);
    }
    assert.throws(() => decodeTicket(`${text}AAAA`), /Cannot use this ticket/);
  });

  it('a manifest that leads elsewhere is none', () => {
    const file = { path: '', bytes: 1, sha256: 'ab'.repeat(32), executable: false };
    const good: Manifest = { name: 'x', kind: 'file', files: [file], folders: [] };
    assert.deepEqual(decodeManifest(encodeManifest(good)), good);
    const tree: Manifest = { name: 'x', kind: 'folder', files: [{ ...file, path: 'a/b' }], folders: ['a'] };
    assert.deepEqual(decodeManifest(encodeManifest(tree)), tree);
    const bad: readonly unknown[] = [
      ...['', '.', '..', 'a/b', '/etc', 'a\\b', 'c:x', 'a\0', 'nul', 'con.txt', 'x'.repeat(256)].map((name) => ({
        ...good,
        name,
      })),
      ...['../x', 'a/../x', '/x', 'a//x', 'a/', 'b/x', 'a'].map((each) => ({
        ...tree,
        files: [{ ...file, path: each }],
      })),
      { ...tree, files: [tree.files[0], tree.files[0]] },
      { ...tree, folders: ['a', '../b'] },
      { ...good, files: [] },
      { ...good, files: [{ ...file, bytes: -1 }] },
      { ...good, files: [{ ...file, sha256: 'x' }] },
      { ...good, kind: 'link' },
      [],
      null,
    ];
    for (const each of bad) {
      assert.equal(decodeManifest(encodeText(JSON.stringify(each))), undefined, JSON.stringify(each));
    }
  });

  it('a request is read back, and refused when it is none', () => {
    const secret = new Uint8Array(16);
    const read = { type: 'read', file: 3, offset: 2 ** 40, length: 1000 } as const;
    assert.deepEqual(decodeRequest(encodeRequest(secret, read)), read);
    assert.deepEqual(decodeRequest(encodeRequest(secret, { type: 'done' })), { type: 'done' });
    for (const tail of [[], [9], [1], [1, 1], [1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0x81, 0x80, 0x10], [2, 0]]) {
      assert.throws(() => decodeRequest(Uint8Array.of(...secret, ...tail)), /Refused: request/, tail.join());
    }
  });

  it('progress is told once something is kept, and from then on', (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const shown: unknown[] = [];
    const show = ({ bytes }: { readonly [field: string]: unknown }): void => void shown.push(bytes);
    const progress = new Progress({ json: true, show }, 'x', 100, 10);
    t.mock.timers.tick(5000);
    assert.deepEqual(shown, []);
    progress.add(5);
    t.mock.timers.tick(500);
    t.mock.timers.tick(500);
    assert.deepEqual(shown, [15, 15]);
    progress[Symbol.dispose]();
    t.mock.timers.tick(5000);
    assert.equal(shown.length, 2);
  });

  it('progress is shown in units of people', () => {
    const state = { bytes: 1_572_864, total: 3_145_728, bytesPerSecond: 1024, secondsLeft: 1536 };
    assert.equal(
      progressLine('x', state),
      'x  [############------------] 50 %  1.5 MiB of 3.0 MiB  1.0 KiB/s  25:36 left',
    );
    assert.equal(sizeText(1023), '1023 B');
    assert.match(progressLine('x', { ...state, secondsLeft: 3661 }), /1:01:01 left$/);
    assert.match(progressLine('x', { bytes: 0, total: 0, bytesPerSecond: 0, secondsLeft: undefined }), /100 %/);
  });
});
