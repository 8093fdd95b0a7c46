/** Packages that a program installs only for the stores that it uses. */

import { P2PError } from '../core/errors.ts';

/**
 * Loads a package on first use.
 *
 * @param install - what to install, for the message.
 * @throws {P2PError} (by rejection) `unsupported` when it is not installed or does not run here.
 */
export async function loadPackage<T>(name: string, install: string): Promise<T> {
  try {
    return (await import(name)) as T; // a variable, so that neither the compiler nor a bundler requires the package
  } catch (cause) {
    const what = `Cannot load ${name}: run \`npm install ${install}\`, or use another store`;
    throw new P2PError('unsupported', 'local', what, { sent: 'no', cause });
  }
}
