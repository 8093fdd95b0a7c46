/**
 * Whether the toolchain of a peer, and what the peer is built from, can be had here.
 *
 * Only an absent tool and a network that does not answer are reasons to skip. A lockfile that does not fit, or a
 * checksum that differs, is a failure.
 */

import { spawnSync } from 'node:child_process';

/** What tools say when a download, and nothing else, has failed. */
const NETWORK =
  /dial tcp|no such host|connection refused|could not connect|could not resolve|failed to (?:download|fetch)|download of .* failed|network (?:error|failure)|timed? ?out|i\/o timeout|offline|no matching package named|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENOTCACHED|\b(?:403|404|407|50[234])\b/i;

/** Answers of this process, by command and folder; bounded by the peers. */
const known = new Map<string, string | false>();

/**
 * @param command - fetches all that is built later, and compiles nothing.
 * @returns a reason to skip, or false.
 * @throws {Error} with the tool's words when it failed for another reason than the network.
 */
export function missing(tool: string, command: readonly string[], cwd: string): string | false {
  const key = `${tool} ${command.join(' ')} in ${cwd}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const { status, stderr, error } = spawnSync(tool, command, { cwd, encoding: 'utf8', maxBuffer: 64 << 20 });
  let reason: string | false = false;
  if (error !== undefined) reason = `${tool} is not installed`;
  else if (status !== 0) {
    if (!NETWORK.test(stderr)) throw new Error(`${key} failed\n${stderr}`);
    reason = `${tool} cannot download what the peer is built from`;
  }
  known.set(key, reason);
  return reason;
}
