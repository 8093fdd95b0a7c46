import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText, encodeText, fromHex } from '../../src/base/bytes.ts';
import { type HttpFetch, httpCell } from '../../src/cells/http-cell.ts';
import { type CellHttpRequest, cellHandler, signedCellCheck } from '../../src/cells/http-handler.ts';
import { createMemoryCells } from '../../src/cells/memory.ts';
import { P2PError } from '../../src/core/errors.ts';
import { generateKey, peerIdOfKey } from '../../src/identity/keys.ts';
import { encodeBase64Url } from '../../src/protocols/cell/base64.ts';
import { currentHash } from '../../src/protocols/cell/http-form.ts';
import { encodeSigned, signedHash } from '../../src/protocols/cell/signed-form.ts';
import vectors from '../vectors/go-p2p.json' with { type: 'json' };
import { answerOf } from '../support/handler-fetch.ts';

const EMPTY = new Uint8Array(0);
const empty = currentHash(EMPTY);
const { celltracker } = vectors;
const body = fromHex(celltracker.cell_body);
const put = (more: Partial<CellHttpRequest> = {}): CellHttpRequest => ({
  method: 'PUT',
  path: `/${celltracker.cell_id}`,
  current: celltracker.x_current_of_empty,
  signer: celltracker.x_signer,
  body,
  ...more,
});

describe('cellHandler', () => {
  it('takes the request of go-p2p, and answers with what the cell holds', async () => {
    const handle = cellHandler(createMemoryCells(), { check: signedCellCheck });
    const read = { ...put({ method: 'GET' }), body: EMPTY };
    assert.deepEqual(await handle(read), { status: 200, body: EMPTY, outcome: 'read' });
    assert.deepEqual(await handle(put()), { status: 200, body, outcome: 'created' });
    assert.deepEqual((await handle(read)).body, body);
    // Again: the cell is not empty any more, and the answer says what it holds.
    assert.deepEqual(await handle(put()), { status: 200, body, outcome: 'conflict' });
    assert.equal((await handle(put({ current: currentHash(body) }))).outcome, 'swapped');
  });

  it('puts into an empty cell by POST', async () => {
    const handle = cellHandler(createMemoryCells());
    assert.equal((await handle(put({ method: 'POST', current: undefined }))).outcome, 'created');
    assert.equal((await handle(put({ method: 'POST', body: encodeText('x') }))).outcome, 'conflict');
  });

  it('answers 400 to other methods, paths and hashes, and writes nothing', async () => {
    const store = createMemoryCells();
    const handle = cellHandler(store);
    const wrong: Partial<CellHttpRequest>[] = [
      { method: 'DELETE' },
      { method: 'put' },
      { method: '' },
      { path: '/' },
      { path: '' },
      { path: `/../${celltracker.cell_id}` },
      { path: `/a/${celltracker.cell_id}` },
      { path: `/${celltracker.cell_id}/` },
      { path: `/${celltracker.cell_id}?x=1` },
      { path: '/..%2f..%2fetc%2fpasswd' },
      { path: `/${'a'.repeat(129)}` },
      { path: '/a\0b' },
      { current: undefined },
      { current: '' },
      { current: 'AAAA' },
      { current: empty.slice(0, -1) },
      { current: `${empty}${empty}` },
      { body: new Uint8Array(32_769) },
    ];
    for (const each of wrong) {
      const answer = await handle(put(each));
      assert.deepEqual([answer.status, answer.outcome], [400, 'malformed'], JSON.stringify(each).slice(0, 80));
    }
    assert.equal((await store.get(celltracker.cell_id)).length, 0);
  });

  it('refuses what the key of the cell has not signed', async () => {
    const store = createMemoryCells();
    const handle = cellHandler(store, { check: signedCellCheck });
    const other = generateKey();
    const box = body.subarray(4, -64);
    const forged = encodeSigned(box, other.sign(signedHash('p2p/cell-tracker', box)));
    const p256 = generateKey({ algorithm: 'ecdsa-p256' });
    const wrong: Partial<CellHttpRequest>[] = [
      { signer: undefined },
      { signer: '' },
      { signer: 'A'.repeat(10_000) },
      { signer: encodeBase64Url(other.publicKey.spki) },
      { signer: encodeBase64Url(p256.publicKey.spki), path: `/${peerIdOfKey(p256.publicKey)}` },
      { body: forged },
      { body: EMPTY },
      { body: body.subarray(1) },
      { body: body.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) },
      { path: `/${peerIdOfKey(other.publicKey)}` },
    ];
    for (const each of wrong) {
      const answer = await handle(put(each));
      assert.deepEqual([answer.status, answer.outcome], [400, 'refused'], JSON.stringify(each).slice(0, 80));
    }
    assert.equal((await store.get(celltracker.cell_id)).length, 0);
  });

  it('answers 503 when the store fails or is full, without its message', async () => {
    const full = cellHandler(createMemoryCells({ maxCells: 1 }));
    assert.equal((await full(put({ path: '/a' }))).status, 200);
    const answer = await full(put({ path: '/b' }));
    assert.deepEqual([answer.status, answer.outcome], [503, 'refused']);
    const closed = createMemoryCells();
    await closed.close();
    const failed = await cellHandler(closed)(put());
    assert.deepEqual(
      [failed.status, failed.outcome, decodeText(failed.body)],
      [503, 'failed', 'the store does not answer\n'],
    );
  });
});

const rejects = async (promise: Promise<unknown>, code: P2PError['code'], sent: 'no' | 'maybe'): Promise<void> => {
  await assert.rejects(promise, (error: unknown) => P2PError.is(error, code) && error.sent === sent);
};

describe('httpCell', () => {
  const cellWith = (fetch: HttpFetch): ReturnType<typeof httpCell> =>
    httpCell('http://cells.test/a', { fetch, maxBytes: 64 });

  it('reads no more than maxBytes, whatever the server sends', async () => {
    let chunks = 0;
    const endless: HttpFetch = () =>
      Promise.resolve({
        status: 200,
        headers: { get: () => null },
        body: {
          getReader: () => ({
            read: () => Promise.resolve({ done: false, value: new Uint8Array(16).fill(++chunks) }),
            cancel: () => Promise.resolve(),
          }),
        },
      });
    await rejects(cellWith(endless).get(), 'limit_exceeded', 'no');
    assert.equal(chunks, 5);
    await rejects(cellWith(endless).cas(EMPTY, Uint8Array.of(1)), 'limit_exceeded', 'maybe');
  });

  it('does not begin to read what is announced as too long', async () => {
    const long: HttpFetch = () => Promise.resolve(answerOf(200, Uint8Array.of(1), { 'content-length': '65' }));
    await rejects(cellWith(long).get(), 'limit_exceeded', 'no');
  });

  it('says what the server says, without characters that steer a terminal', async () => {
    const refusing =
      (status: number): HttpFetch =>
      () =>
        Promise.resolve(answerOf(status, encodeText('no\u001b[2J entry\n')));
    await assert.rejects(cellWith(refusing(400)).get(), {
      code: 'refused',
      message: /answers 400: no\ufffd\[2J entry$/,
    });
    await rejects(cellWith(refusing(429)).cas(EMPTY, Uint8Array.of(1)), 'limit_exceeded', 'no');
    await rejects(cellWith(refusing(503)).cas(EMPTY, Uint8Array.of(1)), 'unreachable', 'maybe');
    await rejects(cellWith(refusing(302)).get(), 'refused', 'no');
  });

  it('does not take an unchanged cell for a swap', async () => {
    const lazy: HttpFetch = () => Promise.resolve(answerOf(200, EMPTY));
    await rejects(cellWith(lazy).cas(EMPTY, Uint8Array.of(1)), 'refused', 'maybe');
  });

  it('says that a swap whose answer is lost may have happened', async () => {
    const lost: HttpFetch = () => Promise.reject(new TypeError('fetch failed'));
    await rejects(cellWith(lost).cas(EMPTY, Uint8Array.of(1)), 'unreachable', 'maybe');
    await rejects(cellWith(lost).get(), 'unreachable', 'no');
  });

  it('is made of http and https URLs only', () => {
    for (const url of ['', 'cells.test/a', 'ftp://cells.test/a', 'http://cells.test/a#secret']) {
      assert.throws(() => httpCell(url), TypeError);
    }
  });
});
