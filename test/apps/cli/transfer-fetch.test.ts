import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { type Bytes, P2PError } from 'shoal';
import { concatBytes, encodeText } from 'shoal/bytes';
import { createMemoryRealm, memoryAddr } from 'shoal/memory';
import { peerIdOfKey } from 'shoal/keys';
import { testKey } from 'shoal/testing';
import { Failure } from '../../../apps/cli/src/failure.ts';
import { Fetcher } from '../../../apps/cli/src/transfer/fetch.ts';
import { MAX_MANIFEST_BYTES, type Manifest, encodeManifest } from '../../../apps/cli/src/transfer/manifest.ts';
import { CHUNK_BYTES, STATUS, decodeRequest } from '../../../apps/cli/src/transfer/messages.ts';

const sha256 = (bytes: Uint8Array): Bytes => new Uint8Array(createHash('sha256').update(bytes).digest());

/** The bytes of a file by index; each byte tells where it is. */
const contents = (file: number, offset: number, length: number): Bytes =>
  Uint8Array.from({ length }, (_, i) => (file * 7 + offset + i) % 251);

interface Sender {
  readonly manifest: Uint8Array;
  /** What the ticket says, where it is not the manifest's. */
  readonly hash?: Bytes;
  readonly status?: number;
  /** What goes wrong with an ask, by its number from 1. */
  readonly fault?: (asks: number) => Error | undefined;
  /** Changes an answer. */
  readonly change?: (answer: Bytes, file: number) => Bytes;
}

/** A fetcher whose asks take 100 ms there and back, in virtual time. */
function world({ manifest, hash = sha256(manifest), status = STATUS.ok, change = (answer) => answer, fault }: Sender) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const { clock } = realm;
  const abort = new AbortController();
  const state = { asks: 0, underWay: 0, bytesUnderWay: 0, mostAsks: 0, mostBytes: 0, cuts: 0 };
  const ask = async (_: unknown, request: Uint8Array): Promise<Bytes> => {
    const read = decodeRequest(request);
    assert(read.type === 'read');
    const { file, offset, length } = read;
    state.asks++;
    const thrown = fault?.(state.asks);
    state.underWay++;
    state.bytesUnderWay += length;
    state.mostAsks = Math.max(state.mostAsks, state.underWay);
    state.mostBytes = Math.max(state.mostBytes, state.bytesUnderWay);
    await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + 100, resolve));
    state.underWay--;
    state.bytesUnderWay -= length;
    if (thrown !== undefined) throw thrown;
    const bytes = file === 0 ? manifest.slice(offset, offset + length) : contents(file, offset, length);
    return change(concatBytes(Uint8Array.of(status), status === STATUS.ok ? bytes : new Uint8Array()), file);
  };
  const id = peerIdOfKey(testKey(1).publicKey);
  const fetcher = new Fetcher({
    realm,
    swarm: { ask },
    addr: memoryAddr(1),
    ticket: { id, secret: new Uint8Array(16), hash, addrs: [] },
    signal: abort.signal,
    patienceMs: 30_000,
    onCut: () => state.cuts++,
  });
  return { clock, fetcher, state, abort };
}

const file = { bytes: 2048, sha256: 'ab'.repeat(32), executable: false };
const folderOf = (files: number): Manifest => ({
  name: 'x',
  kind: 'folder',
  files: Array.from({ length: files }, (_, i) => ({ ...file, path: `f${i}` })),
  folders: [],
});
const spansOf = ({ files }: Manifest) =>
  files.map(({ path, bytes }, i) => ({ file: i + 1, name: path, from: 0, to: bytes }));
async function gather(pieces: AsyncIterable<Bytes>): Promise<Bytes> {
  const got: Bytes[] = [];
  for await (const piece of pieces) got.push(piece);
  return concatBytes(...got);
}
const fails = (why: RegExp) => (error: unknown) => error instanceof Failure && why.test(error.message);

describe('the pieces of a transfer', () => {
  it('of 150 small files come in half a second where each answer takes 100 ms', async () => {
    const whole = folderOf(150);
    const { clock, fetcher, state } = world({ manifest: encodeManifest(whole) });
    const manifest = await clock.run(fetcher.manifest());
    assert.deepEqual(manifest, whole);
    const got = await clock.run(gather(fetcher.pieces(spansOf(manifest))));
    assert.deepEqual(got, concatBytes(...whole.files.map((_, i) => contents(i + 1, 0, 2048))));
    assert(clock.nowMs() <= 500, `${clock.nowMs()} ms`);
    assert.equal(state.asks, 151);
    assert.equal(state.mostAsks, 64);
  });

  it('are asked for 2 MiB at a time, in order, from where each file goes on', async () => {
    const { clock, fetcher, state } = world({ manifest: new Uint8Array() });
    const bytes = 3 * 2 ** 20 + 5;
    const spans = [
      { file: 1, name: 'a', from: 1000, to: bytes },
      { file: 2, name: 'b', from: 10, to: 10 },
      { file: 3, name: 'c', from: 0, to: 1 },
    ];
    const got = await clock.run(gather(fetcher.pieces(spans)));
    assert.deepEqual(sha256(got), sha256(concatBytes(contents(1, 1000, bytes - 1000), contents(3, 0, 1))));
    assert.equal(state.mostBytes, 8 * CHUNK_BYTES);
  });

  it('are not asked for while nobody takes them', async () => {
    const { clock, fetcher, state } = world({ manifest: new Uint8Array() });
    const pieces = fetcher.pieces([{ file: 1, name: 'a', from: 0, to: 64 * CHUNK_BYTES }]);
    await clock.run(pieces.next());
    await clock.advance(10_000);
    assert.equal(state.asks, 8);
    await clock.run(pieces.next());
    assert.equal(state.asks, 9);
  });

  it('of another length than asked for are refused, with the name of the file', async () => {
    for (const change of [(answer: Bytes) => answer.slice(1), (answer: Bytes) => concatBytes(answer, answer)]) {
      const { clock, fetcher } = world({
        manifest: new Uint8Array(),
        change: (answer) => concatBytes(Uint8Array.of(0), change(answer.slice(1))),
      });
      const spans = [{ file: 1, name: 'dir/a\u202e', from: 0, to: 10 }];
      await assert.rejects(
        clock.run(gather(fetcher.pieces(spans))),
        fails(/^Cannot receive "dir\/a[^"\u202e]+": the sender gave \d+ bytes of 10$/),
      );
    }
  });

  it('that the sender refuses say why', async () => {
    for (const [status, why] of [
      [STATUS.secret, /^Cannot receive: the sender does not know this ticket$/],
      [STATUS.changed, /^Cannot receive "a": the file has changed at the sender/],
      [STATUS.request, /^Cannot receive "a": the sender refuses to read it/],
      [99, /^Cannot receive "a": the sender refuses to read it/],
    ] as const) {
      const { clock, fetcher } = world({ manifest: new Uint8Array(), status });
      const spans = [{ file: 1, name: 'a', from: 0, to: 10 }];
      await assert.rejects(clock.run(gather(fetcher.pieces(spans))), fails(why));
    }
  });
});

describe('pieces that do not come', () => {
  const lost = new P2PError('timeout', 'path', 'no answer');
  const one = [{ file: 1, name: 'a', from: 0, to: 10 * CHUNK_BYTES }];

  it('are asked for again; the order stays', async () => {
    const { clock, fetcher, state } = world({
      manifest: new Uint8Array(),
      fault: (asks) => (asks % 3 === 1 ? lost : undefined),
    });
    const got = await clock.run(gather(fetcher.pieces(one)));
    assert.deepEqual(sha256(got), sha256(contents(1, 0, 10 * CHUNK_BYTES)));
    assert.equal(state.asks, 10 + state.cuts);
    assert(state.cuts >= 4);
  });

  it('are given up when nothing has come for as long as the user waits, not before', async () => {
    const { clock, fetcher, state } = world({
      manifest: new Uint8Array(),
      fault: (asks) => (asks > 3 ? lost : undefined),
    });
    await clock.advance(100_000); // the time before the first ask does not count
    await assert.rejects(clock.run(gather(fetcher.pieces(one))), lost);
    assert(clock.nowMs() >= 130_000 && clock.nowMs() < 133_000, `${clock.nowMs()} ms`);
    assert(state.cuts > 10);
  });

  it('are not asked for again when this side is closed, interrupted, or at fault', async () => {
    const closed = new P2PError('closed', 'local', 'closed');
    for (const fault of [closed, new TypeError('a bug')]) {
      const { clock, fetcher, state } = world({ manifest: new Uint8Array(), fault: () => fault });
      await assert.rejects(clock.run(gather(fetcher.pieces([{ ...one[0]!, to: 1 }]))), fault);
      assert.deepEqual([state.asks, state.cuts], [1, 0]);
    }
    const { clock, fetcher, state, abort } = world({
      manifest: new Uint8Array(),
      fault: () => (abort.abort(), lost),
    });
    await assert.rejects(clock.run(gather(fetcher.pieces([{ ...one[0]!, to: 1 }]))), lost);
    assert.deepEqual([state.asks, state.cuts], [1, 0]);
  });
});

describe('the list of files', () => {
  it('of several pieces is put together', async () => {
    const whole = folderOf(20_000);
    const { clock, fetcher, state } = world({ manifest: encodeManifest(whole) });
    assert.deepEqual(await clock.run(fetcher.manifest()), whole);
    assert(state.mostAsks > 1);
    assert(clock.nowMs() <= 500, `${clock.nowMs()} ms`);
  });

  it('that is not the one of the ticket, and one that may not be written, are told apart', async () => {
    const good = encodeManifest(folderOf(1));
    const wrong = world({ manifest: good, hash: new Uint8Array(32) });
    await assert.rejects(
      wrong.clock.run(wrong.fetcher.manifest()),
      fails(/^Cannot receive: the list of files, \d+ bytes, is not the one of the ticket$/),
    );
    const refused = world({ manifest: encodeManifest({ ...folderOf(1), name: 'aux.c' }) });
    await assert.rejects(
      refused.clock.run(refused.fetcher.manifest()),
      fails(/^Cannot receive: the list of files is refused: "aux\.c": the name is that of a device on Windows$/),
    );
  });

  it('ends at its bound: a longer one is refused whatever the ticket says', async () => {
    const text = new TextDecoder().decode(encodeManifest(folderOf(1)));
    const at = world({ manifest: encodeText(text.padEnd(MAX_MANIFEST_BYTES)) });
    assert.deepEqual(await at.clock.run(at.fetcher.manifest()), folderOf(1));
    const above = world({ manifest: encodeText(text.padEnd(MAX_MANIFEST_BYTES + 1)) });
    await assert.rejects(above.clock.run(above.fetcher.manifest()), fails(/is refused: it is no list of files/));
    const endless = world({ manifest: encodeText(text.padEnd(MAX_MANIFEST_BYTES + 3 * CHUNK_BYTES)) });
    await assert.rejects(endless.clock.run(endless.fetcher.manifest()), fails(/is not the one of the ticket/));
    assert(endless.state.asks <= MAX_MANIFEST_BYTES / CHUNK_BYTES + 1);
  });
});
