/** Avahi in the lab: a daemon in a namespace, with a message bus of its own. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Lab } from './lab.ts';

/** What is needed, of Debian's packages avahi-daemon, avahi-utils and dbus. */
export const AVAHI_PROGRAMS = ['avahi-daemon', 'avahi-browse', 'avahi-publish', 'dbus-daemon'] as const;

const BUS = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow user="*"/>
  </policy>
</busconfig>`;

/** What avahi-browse has found: the fields of a line that begins with `=`. */
export interface AvahiService {
  readonly family: string;
  readonly label: string;
  readonly host: string;
  readonly ip: string;
  readonly port: number;
  readonly txt: readonly string[];
}

/** Starts the daemon on a host, and waits until it answers. `/run` is the lab's own. */
export function startAvahi(lab: Lab, host: string): void {
  mkdirSync('/run/dbus', { recursive: true });
  writeFileSync('/run/dbus.conf', BUS);
  writeFileSync('/run/avahi.conf', '[server]\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\npublish-workstation=no\n');
  // The only user that there is in the namespaces is root: the daemon takes its own user for it.
  for (const file of ['passwd', 'group']) {
    const text = readFileSync(`/etc/${file}`, 'utf8');
    writeFileSync(
      `/run/${file}`,
      text.replaceAll(/^avahi:x:\d+(:\d+)?/gm, (_, second) => `avahi:x:0${second ? ':0' : ''}`),
    );
  }
  lab.start(host, 'dbus-daemon', ['--config-file=/run/dbus.conf', '--nofork', '--nopidfile']);
  const mounts = 'mount --bind /run/passwd /etc/passwd && mount --bind /run/group /etc/group';
  const daemon = 'exec avahi-daemon -f /run/avahi.conf --no-drop-root --no-chroot --no-rlimits';
  lab.start(host, 'sh', ['-c', `until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done; ${mounts} && ${daemon}`]);
  lab.sh(host, `${again('avahi-browse -at > /dev/null 2>&1 && exit 0')}; exit 1`);
}

/** A shell loop that tries something for ten seconds. */
function again(command: string): string {
  return `i=0; while [ $i -lt 50 ]; do ${command}; i=$((i + 1)); sleep 0.2; done`;
}

/** The services of a type that Avahi finds and resolves, once there is one with this port. */
export function browse(lab: Lab, host: string, type: string, port: number): readonly AvahiService[] {
  const command = `found=$(avahi-browse -rpt ${type}); echo "$found" | grep -q '^=.*;${port};' && break`;
  return lab
    .sh(host, `${again(command)}; echo "$found"`)
    .split('\n')
    .flatMap(parse);
}

function parse(line: string): readonly AvahiService[] {
  const [kind, , family, label, , , host, ip, port, ...rest] = line.split(';');
  if (kind !== '=') return [];
  const txt = Array.from(rest.join(';').matchAll(/"([^"]*)"/g), ([, text]) => text!);
  return [{ family: family!, label: label!, host: host!, ip: ip!, port: Number(port), txt }];
}
