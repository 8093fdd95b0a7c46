import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { assertFails, shoal, startShoal } from './command.ts';

describe('shoal with a mask', () => {
  it('asks over a masked stack, and gets no answer with another key or without one', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'shoal-mask-'));
    const file = (name: string, text: string): string => {
      const full = path.join(folder, name);
      writeFileSync(full, text);
      return full;
    };
    const [right, wrong] = [file('right', `${'6b'.repeat(32)}\n`), file('wrong', '00'.repeat(32))];
    const stack = (key: string): string => `udp,mask:${key},p2pke,mbapp`;
    try {
      await using listening = startShoal('listen', '--stack', stack(right), '--bind', '127.0.0.1:0', '--echo');
      const { addr } = await listening.next('listening');
      const ask = (text: string): ReturnType<typeof shoal> =>
        shoal(['ask', '--stack', text, String(addr), '--data', 'hello', '--timeout', '1500']);
      const answered = await ask(stack(right));
      assert.deepEqual([answered.code, answered.stdout.trim()], [0, 'hello'], answered.stderr);
      for (const text of [stack(wrong), 'udp,p2pke,mbapp']) assert.equal((await ask(text)).code, 1);
      assertFails(await ask(stack(file('short', '6b6b'))), 1, /expected 64 hexadecimal digits/);
      assertFails(await ask(stack(path.join(folder, 'none'))), 1, /Cannot read mask key .*ENOENT/);
      assertFails(await ask('udp,mask,p2pke'), 2, /write mask:FILE/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
