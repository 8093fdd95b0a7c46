/** A configuration in a real file. */

import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { configFiles } from '../../src/peers/config-files.ts';
import { watchConfig } from '../../src/peers/watch-config.ts';

describe('a configuration in a file of this machine', () => {
  it('is read, replaced and missed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-config-'));
    const path = join(folder, 'peers.json');
    try {
      const faults: Error[] = [];
      const options = { reader: configFiles, onFault: (error: Error) => void faults.push(error) };
      await assert.rejects(
        watchConfig(path, () => {}, options),
        /there is no such file/,
      );
      await writeFile(path, '{"networkName": "one"}');
      using watch = await watchConfig(path, () => {}, options);
      await writeFile(`${path}.new`, '{"networkName": "two"}');
      await rename(`${path}.new`, path);
      await watch.check();
      assert.equal(watch.config.networkName, 'two');
      await rm(path);
      await watch.check();
      assert.equal(faults.length, 1);
      await assert.rejects(configFiles.stamp(join(path, '\0')), TypeError);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
