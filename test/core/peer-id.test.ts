import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from '../support/fast-check.ts';
import { compareBytes } from '../../src/base/bytes.ts';
import { comparePeerIds, decodePeerId, encodePeerId, isPeerId, parsePeerId } from '../../src/core/peer-id.ts';

const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('PeerID text', () => {
  it('encodePeerId() writes what go-p2p writes', () => {
    assert.equal(encodePeerId(new Uint8Array(32)), '-'.repeat(43));
    assert.equal(
      encodePeerId(Uint8Array.from({ length: 32 }, (_, i) => i)),
      '--31-kF40VR71FcA2-oD2l-G3WBJ4GNM50ZP5lkS6Ww',
    );
    assert.equal(encodePeerId(new Uint8Array(32).fill(0xff)), `${'z'.repeat(42)}w`);
  });

  it('decodePeerId() undoes encodePeerId()', () => {
    fc.assert(fc.property(anyId, (bytes) => assert.deepEqual(decodePeerId(encodePeerId(bytes)), bytes)));
  });

  it('texts sort as bytes do', () => {
    fc.assert(
      fc.property(anyId, anyId, (a, b) => {
        const order = comparePeerIds(encodePeerId(a), encodePeerId(b));
        assert.equal(Math.sign(order), Math.sign(compareBytes(a, b)));
      }),
    );
  });

  it('decodePeerId() refuses wrong lengths, foreign characters and spare bits', () => {
    const text = encodePeerId(new Uint8Array(32).fill(0xff));
    for (const bad of [
      '',
      text.slice(1),
      `${text}-`,
      `${text.slice(0, 42)}+`,
      `${text.slice(0, 42)}z`,
      'é'.repeat(43),
    ]) {
      assert.equal(decodePeerId(bad), undefined, bad);
    }
  });

  it('no two texts mean the same PeerID', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 43, maxLength: 43 }), (text) => {
        const bytes = decodePeerId(text);
        assert.ok(bytes === undefined || encodePeerId(bytes) === text);
      }),
    );
    const accepted = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz'
      .split('')
      .filter((last) => isPeerId('-'.repeat(42) + last));
    assert.equal(accepted.length, 16);
  });

  it('parsePeerId() names what is wrong', () => {
    assert.throws(() => parsePeerId('abc'), /Cannot parse PeerID: expected 43 characters .* got "abc", 3 characters/);
    assert.throws(() => parsePeerId('!'.repeat(43)), TypeError);
    assert.throws(() => encodePeerId(new Uint8Array(31)), /expected 32 bytes, got 31/);
    assert.equal(isPeerId(7), false);
  });

  it('is a text: what has as many elements is none', () => {
    const characters = Array.from({ length: 43 }, () => '-');
    assert.equal(isPeerId(characters as unknown as string), false);
    assert.equal(isPeerId(characters.join('')), true);
  });
});
