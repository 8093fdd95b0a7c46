/** `shoal chat`: a room of named peers; each line goes to all members. */

import { createInterface } from 'node:readline';
import { type Addr, type SecureAskSwarm } from 'shoal';
import { generateKey } from 'shoal/keys';
import { openQuicSwarm } from 'shoal/quic';
import { Room, type RoomEvent } from '../chat/room.ts';
import { type CommandContext, type CommonOptions, bindFor, loadKey } from '../context.ts';
import { asUsage } from '../failure.ts';

/** Options of `shoal chat`. */
export interface ChatOptions extends CommonOptions {
  readonly name: string;
  readonly join?: string | undefined;
  readonly bind?: string | undefined;
  readonly key?: string | undefined;
}

/** Characters of a PeerID that are shown beside a name, since anybody can take any name. */
const SHOWN_ID = 8;

/** Chats until Ctrl-C or the end of standard input. */
export async function chat({ output, interrupt, realm }: CommandContext, options: ChatOptions): Promise<void> {
  const { join, name } = options;
  const { signal } = interrupt;
  const privateKey = options.key === undefined ? generateKey() : await loadKey(options.key);
  const bind = options.bind ?? (join === undefined ? '0.0.0.0:0' : bindFor(join));
  const quic = await openQuicSwarm({ realm, bind, privateKey, signal });
  // Addresses come from this swarm's own parseAddr and localAddrs only.
  const swarm = quic as unknown as SecureAskSwarm<Addr>;
  await using opened = new AsyncDisposableStack();
  opened.defer(() => swarm.close());
  const show = (event: RoomEvent): void => {
    if (event.event === 'clock_differs') {
      const who = event.id === undefined ? '' : `[${event.id.slice(0, SHOWN_ID)}] `;
      const minutes = Math.max(1, Math.round(Math.abs(event.differenceMs) / 60_000));
      const way = event.differenceMs > 0 ? 'ahead' : 'behind';
      output.show(
        event,
        `${who}the other side's clock differs by about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'} (it is ${way}): the two of you cannot meet until both are right`,
      );
      return;
    }
    const { member, ...rest } = event;
    // In front and always as long, so that no name can take its place.
    const who = `[${member.id.slice(0, SHOWN_ID)}] ${member.name}`;
    const line = event.event === 'message' ? `${who}: ${event.text}` : `${who} has ${event.event}`;
    output.show({ ...rest, id: member.id, name: member.name }, line);
  };
  const room = asUsage(
    'Cannot chat',
    () => new Room({ swarm, privateKey, name, onEvent: show, behind: () => output.behind() }),
  );
  opened.use(room);
  if (join !== undefined) await room.join(asUsage('Cannot join', () => swarm.parseAddr(join)));

  const [addr] = swarm.localAddrs();
  const command = `shoal chat --name NAME --join '${addr?.text}'`;
  output.show(
    { event: 'room', addr: addr?.text, members: room.members.length, command },
    `Others join with:  ${command}`,
  );
  // Lines that are closed before somebody reads them never end.
  if (signal.aborted) return;
  const lines = createInterface({ input: process.stdin });
  signal.addEventListener('abort', () => lines.close());
  void swarm.closed.then(() => lines.close());
  for await (const line of lines) {
    if (line.trim() === '') continue;
    try {
      const told = await room.say(line);
      if (output.json) output.show({ event: 'said', text: line, told });
    } catch (error) {
      output.note(`shoal: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
