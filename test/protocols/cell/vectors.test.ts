import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText, encodeText, equalBytes, fromHex, toHex } from '../../../src/base/bytes.ts';
import { createMemoryCell, sealed, signed } from '../../../src/cells/index.ts';
import { decodeBase64Url, encodeBase64Url } from '../../../src/protocols/cell/base64.ts';
import { currentHash } from '../../../src/protocols/cell/http-form.ts';
import { openValue, sealValue } from '../../../src/protocols/cell/sealed-form.ts';
import { decodeSigned, encodeSigned, signedHash, TRACKER_PURPOSE } from '../../../src/protocols/cell/signed-form.ts';
import { parseTrackerToken, trackerToken } from '../../../src/protocols/cell/token.ts';
import { encodeTrackerState, parseTrackerState } from '../../../src/protocols/cell/tracker-state.ts';
import vectors from '../../vectors/go-p2p.json' with { type: 'json' };

const vector = vectors.celltracker;
const secret = fromHex(vector.secret_hex);
const token = trackerToken('http://127.0.0.1:8000', secret);
const nonce = new Uint8Array(24).fill(0x33);

describe('cells of go-p2p', () => {
  it('derive the key, the seal and the name of a cell from the secret of a token', () => {
    assert.equal(toHex(token.sealKey), vector.secretbox_key);
    assert.equal(toHex(token.signer.publicKey.spki), vector.public_key_der);
    assert.equal(token.id, vector.cell_id);
    assert.equal(token.text, vector.token);
    assert.equal(encodeBase64Url(token.signer.publicKey.spki), vector.x_signer);
    assert.equal(currentHash(new Uint8Array(0)), vector.x_current_of_empty);
  });

  it('read a token as they write it', () => {
    const { endpoint, id, text } = parseTrackerToken(vector.token);
    assert.deepEqual(
      { endpoint, id, text },
      { endpoint: 'http://127.0.0.1:8000', id: vector.cell_id, text: vector.token },
    );
  });

  it('seal, sign and put together the same bytes', () => {
    const box = sealValue(token.sealKey, nonce, encodeText('{}'));
    assert.equal(toHex(box), vector.box_of_braces_nonce_33);
    const hash = signedHash(TRACKER_PURPOSE, box);
    assert.equal(toHex(hash), vector.presig_of_box);
    assert.equal(toHex(encodeSigned(box, token.signer.sign(hash))), vector.cell_body);
  });

  it('take the same bytes apart', () => {
    const { payload } = decodeSigned(fromHex(vector.cell_body))!;
    assert.equal(decodeText(openValue(token.sealKey, payload)!), '{}');
  });

  it('are read through `signed` and `sealed`', async () => {
    const raw = createMemoryCell();
    await raw.cas(new Uint8Array(0), fromHex(vector.cell_body));
    await using cell = sealed(signed(raw, { privateKey: token.signer }), { key: token.sealKey });
    assert.equal(decodeText(await cell.get()), '{}');
    assert.equal((await cell.cas(encodeText('{}'), encodeText('{"peers":{}}'))).swapped, true);
    assert.ok(!equalBytes(await raw.get(), fromHex(vector.cell_body)));
  });

  it('hold the same JSON', () => {
    const parsed = parseTrackerState(encodeText(vector.state_json))!;
    assert.equal(parsed.dropped, 0);
    const [entry] = [...parsed.state.values()].flat();
    assert.equal(entry!.atMs, Date.UTC(2023, 10, 14, 22, 13, 20, 123));
    assert.equal(entry!.ttlNs, 60e9);
    assert.equal(decodeText(encodeTrackerState(parsed.state)), vector.state_json);
  });
});

describe('a token', () => {
  it('is refused without being quoted when its secret belongs to another cell, or has another form', () => {
    const secretText = vector.token.slice(vector.token.indexOf('#') + 1);
    const other = trackerToken('http://127.0.0.1:8000', new Uint8Array(32).fill(9));
    for (const text of [
      '',
      'http://127.0.0.1:8000',
      vector.token.slice(0, -1),
      vector.token.replace('=', ''),
      vector.token.replace('http:', 'ftp:'),
      vector.token.replace('127', 'user:password@127'),
      vector.token.replace('#', '?a=b#'),
      `${vector.token}=`,
      `http://127.0.0.1:8000/${other.id}#${secretText}`,
      `http://127.0.0.1:8000/../${vector.cell_id}/#${secretText}`,
      `http://${'a'.repeat(3000)}/${vector.cell_id}#${secretText}`,
      undefined,
    ]) {
      assert.throws(
        () => parseTrackerToken(text as string),
        (error) => error instanceof TypeError && !error.message.includes(secretText),
      );
    }
  });

  it('keeps the path of its endpoint', () => {
    const deep = trackerToken('https://example.org/tracker/', secret);
    assert.equal(deep.endpoint, 'https://example.org/tracker');
    assert.equal(parseTrackerToken(deep.text).endpoint, 'https://example.org/tracker');
  });

  it('is not made of an endpoint that is no plain URL', () => {
    for (const endpoint of [
      'example.org',
      'ftp://example.org',
      'http://a@example.org',
      'http://example.org/?a',
      'http://example.org/#a',
    ]) {
      assert.throws(() => trackerToken(endpoint, secret), TypeError);
    }
    assert.throws(() => trackerToken('http://example.org', new Uint8Array(31)), RangeError);
  });
});

describe('base64 of URLs', () => {
  it('has one text for each bytes', () => {
    for (const [text, hex] of [
      ['', ''],
      ['AA==', '00'],
      ['__8=', 'ffff'],
      ['-_-_', 'fbffbf'],
    ] as const) {
      assert.equal(encodeBase64Url(fromHex(hex)), text);
      assert.equal(toHex(decodeBase64Url(text)!), hex);
    }
    for (const text of ['AB==', 'A', 'AA', 'AA=', 'A===', '+/+/', 'AA==AA==', 'AA== ', 'A\nA=']) {
      assert.equal(decodeBase64Url(text), undefined);
    }
  });
});
