/** The files of this machine, for `watchConfig`. */

import { readFile, stat } from 'node:fs/promises';

import type { ConfigReader } from './watch-config.ts';

/** Reads files by node:fs. */
export const configFiles: ConfigReader = {
  async stamp(path) {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      return `${mtimeMs} ${size} ${ino}`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  },
  read: (path) => readFile(path, 'utf8'),
};
