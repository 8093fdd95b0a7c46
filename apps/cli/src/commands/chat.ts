/** `shoal chat`: a room of named peers; each line goes to all members. */

import { createInterface } from 'node:readline';
import { ProvenAddrs, Room, type RoomEvent } from '../chat/room.ts';
import type { CommandContext } from '../context.ts';
import { asUsage } from '../failure.ts';
import { addPlaces, APART, type NodeOptions, openPeersOf, parsePlace, placesOf } from '../open-peers.ts';

/** Options of `shoal chat`. */
export interface ChatOptions extends NodeOptions {
  readonly name: string;
  readonly join?: string | undefined;
}

/** Characters of a PeerID that are shown beside a name, since anybody can take any name. */
const SHOWN_ID = 8;

/** Chats until Ctrl-C or the end of standard input. */
export async function chat(context: CommandContext, options: ChatOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { name } = options;
  const { signal } = interrupt;
  const host = options.join === undefined ? undefined : parsePlace(options.join, 'join');
  const proven = new ProvenAddrs();
  await using peers = await openPeersOf(context, options, { ...APART, idleTimeoutMs: Infinity, sources: [proven] });
  const show = (event: RoomEvent): void => {
    const { member, ...rest } = event;
    // In front and always as long, so that no name can take its place.
    const who = `[${member.id.slice(0, SHOWN_ID)}] ${member.name}`;
    const line = event.event === 'message' ? `${who}: ${event.text}` : `${who} has ${event.event}`;
    output.show({ ...rest, id: member.id, name: member.name }, line);
  };
  await using room = asUsage(
    'Cannot chat',
    () => new Room({ peers, proven, name, onEvent: show, behind: () => output.behind() }),
  );
  if (host !== undefined) {
    addPlaces(peers, realm, host.id, [host.place], 'address');
    await room.join(host.id);
  }

  const addr = `${peers.id}@${placesOf(peers)[0]}`;
  const command = `shoal chat --name NAME --join '${addr}'`;
  output.show({ event: 'room', addr, members: room.members.length, command }, `Others join with:  ${command}`);
  // Lines that are closed before somebody reads them never end.
  if (signal.aborted) return;
  const lines = createInterface({ input: process.stdin });
  signal.addEventListener('abort', () => lines.close());
  void peers.closed.then(() => lines.close());
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
