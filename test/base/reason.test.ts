import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../src/base/bytes.ts';
import { decodeReason } from '../../src/base/reason.ts';
import { FrameReader } from '../../src/protocols/tcp/frame-reader.ts';
import { FrameWriter } from '../../src/protocols/tcp/frame-writer.ts';

describe('decodeReason', () => {
  it('leaves words alone, and takes the force out of everything that steers a terminal', () => {
    assert.equal(decodeReason(encodeText('zu groß: 3 > 2 – 好')), 'zu groß: 3 > 2 – 好');
    const hostile = 'a\u001b[2Jb\u202ec\nd\u200be\u0085f\u2066g';
    assert.equal(decodeReason(encodeText(hostile)), 'a\ufffd[2Jb\ufffdc\ufffdd\ufffde\ufffdf\ufffdg');
    assert.equal(decodeReason(Uint8Array.of(0xff, 0xfe)), undefined);
    assert.equal(decodeReason(new Uint8Array(0)), '');
  });

  it('is how the TCP swarm reads the bye of a peer', () => {
    const writer = new FrameWriter();
    writer.bye(1, 'gone\u001b]0;title\u0007');
    const reader = new FrameReader();
    for (const piece of writer.take()) reader.push(piece);
    const frame = reader.next();
    assert.ok(typeof frame === 'object' && frame.type === 'bye');
    assert.equal(frame.reason, 'gone\ufffd]0;title\ufffd');
  });
});
