/** `shoal/swarm-kit`: the parts for writing a swarm. The swarms of this package are built from the same parts. */

export { makeAddr, assertAddr } from '../core/addr.ts';
export { assertBytes, assertFunction, assertString, describeValue, quantity, wholeNumber } from '../base/checks.ts';
export { closedError, mtuError } from '../core/errors.ts';
export {
  type AddrMap,
  type Common,
  type AddrAsks,
  type AddrSecure,
  type Guard,
  type KeepOptions,
  type Like,
  keep,
  mapAsks,
  mapSecure,
  textAsks,
  textSecure,
} from '../core/keep.ts';
export { type Describes, type LayerDescription } from '../core/inspect.ts';
export { type Machine, type Millis, type Output } from '../base/machine.ts';
export { type Clock, type ClockedRealm, type Timer, type TimerOptions } from '../core/realm.ts';
export { type DriverOptions, Driver } from '../runtime/driver.ts';
export { clockOf } from '../runtime/system-realm.ts';
export { nextTurn } from '../runtime/system-clock.ts';
export { AddressCache } from './address-cache.ts';
export { type Answer, type Serving, AskSlot, REFUSED } from './ask-slot.ts';
export { type QueueLimits, BoundedQueue } from './bounded-queue.ts';
export { type CloseLatchOptions, CLOSE_DEADLINE_MS, CloseLatch } from '../runtime/close-latch.ts';
export { SAME_ADDRS, composeAsk, composeSecure } from './compose.ts';
export { CounterSet } from './counter-set.ts';
export { type PendingLimits, PENDING_DEFAULTS, PendingBudget, assertPendingLimits } from './pending-budget.ts';
export { RESOLVED, isPending, markHandled, rejection } from '../runtime/promises.ts';
export { type SlotOptions, TellSlot } from './tell-slot.ts';
export { type Wait, type WaitOptions, Waits, checkAsk, checkCall } from '../runtime/waits.ts';
export { type PacerOptions, Pacer } from './pacer.ts';
export { type WrapOptions, SwarmOver } from './swarm-over.ts';
export { type PacingOptions, type PartSource, PartSender, resolveBurstBytes } from './part-sender.ts';
export { mappedSwarm } from './mapped-swarm.ts';
export { joinListening } from './join-listening.ts';
export { later, soon } from '../runtime/later.ts';
export { type SendFailures, sendFailures } from './send-failures.ts';
export { type SendPath, type SendPaths, sendPath } from './send-path.ts';
export { bestAddr, TextAddrs } from '../core/text-addrs.ts';
export { type AddrFields } from '../core/addr.ts';
export { DEFAULT_ASK_TIMEOUT_MS, type Asks } from '../core/ask.ts';
export { type CoreDrop } from '../core/counters.ts';
export { type Priority, DEFAULT_PRIORITY } from '../core/priority.ts';
export { type Secure } from '../core/secure.ts';
export { discardAsks, discardTells } from '../runtime/receive.ts';
export { describeOption } from '../base/checks.ts';
export { describeDuration } from '../base/duration.ts';
export { IdMap } from '../base/id-map.ts';
export { SourceShares, sourceOf } from '../base/source-shares.ts';
export { assertSwarm } from '../core/swarm.ts';
export { systemClock } from '../runtime/system-clock.ts';
export { isClock } from '../runtime/system-realm.ts';
