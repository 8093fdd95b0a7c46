/** Whether the lab can run here, and how a process gets into it. */

import { spawnSync } from 'node:child_process';

/** What is needed: the program, and Debian's package. */
const NEEDED = [
  ['unshare', 'util-linux'],
  ['ip', 'iproute2'],
  ['nft', 'nftables'],
] as const;

const isThere = (program: string): boolean => spawnSync('which', [program], { stdio: 'ignore' }).status === 0;

/** Becomes root in namespaces of its own, without an uplink; they go with the process. */
const ENTER = [
  '--user',
  '--map-root-user',
  '--net',
  '--mount',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
  'sh',
  '-c',
  'mount -t tmpfs t /run && mkdir -p /run/netns && ip link set lo up && SHOAL_NAT_LAB=1 exec "$@"',
  '_',
];

/** The command that runs another one inside; `as`: as this user, which has no rights outside. */
export function inside(command: readonly string[], as?: string): readonly [command: string, args: readonly string[]] {
  const entered = ['unshare', ...ENTER, ...command];
  const [first, ...args] =
    as === undefined ? entered : ['setpriv', `--reuid=${as}`, `--regid=${as}`, '--clear-groups', ...entered];
  return [first!, args];
}

/**
 * Why the lab cannot run here: for `skip`. Programs that CI could have installed are no reason.
 *
 * @throws {Error} when something is missing that could be there: in CI, as root, with apt-get.
 */
export function whyNoLab(as?: string): string | false {
  if (process.platform !== 'linux') return 'network namespaces are of Linux';
  const missing = NEEDED.filter(([program]) => !isThere(program));
  if (missing.length > 0) {
    const packages = missing.map(([, name]) => name).join(' ');
    if (process.env['CI'] === 'true' && process.getuid?.() === 0 && isThere('apt-get')) {
      throw new Error(`The lab needs Debian's packages ${packages}, which .ci/run installs`);
    }
    return `Debian's packages ${packages} are not installed`;
  }
  const [command, args] = inside(['nft', 'list', 'tables'], as);
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  return status === 0 ? false : `namespaces are forbidden here: ${stderr.trim().split('\n').at(-1)}`;
}
