import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TraceEvent } from 'shoal';
import { traceLine } from '../../../apps/cli/src/output.ts';
import { printable, printableJson } from '../../../apps/cli/src/printable.ts';
import { showPayload } from '../../../apps/cli/src/payload.ts';
import * as fc from '../../support/fast-check.ts';

/** One of each kind that steers a terminal, turns text around or is not seen. */
const HOSTILE =
  '\u{1b}[2J\u{9b}31m\r\n\t\0\u{7f}\u{85}\u{202e}\u{2066}\u{200b}\u{200e}\u{2028}\u{2029}\u{ad}\u{3164}\u{115f}\u{e0041}\u{e000}\u{feff}\u{d800}';
const UNSAFE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;

describe('text from a peer', () => {
  it('loses every character that steers a terminal, and keeps the others', () => {
    assert.equal(printable('a\u{1b}[2Jb\u{202e}\n'), 'a\u{fffd}[2Jb\u{fffd}\u{fffd}');
    assert.equal(printable('Grüße, 世界 👋 é'), 'Grüße, 世界 👋 é');
    for (const character of HOSTILE) assert.doesNotMatch(printable(character), UNSAFE, character);
  });

  it('is JSON that parses to the same and has no such character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const value = { event: 'x', text: text + HOSTILE, [`${text}\u{202e}`]: [text] };
        const json = printableJson(value);
        assert.doesNotMatch(json, UNSAFE);
        assert.deepEqual(JSON.parse(json), value);
      }),
    );
  });

  it('steers nothing from a trace or a payload', () => {
    const fields = { reason: HOSTILE, cause: new Error(HOSTILE), field: HOSTILE };
    const event: TraceEvent = { layer: 'x', type: 'closed', atMs: 1, ...fields };
    for (const json of [true, false]) assert.doesNotMatch(traceLine(event, json), UNSAFE);
    assert.doesNotMatch(showPayload(new TextEncoder().encode(HOSTILE)), UNSAFE);
    assert.doesNotMatch(showPayload(new TextEncoder().encode('\u{202e}abc')), UNSAFE);
  });
});
