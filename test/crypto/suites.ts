/** Both implementations of `#crypto`, as the interface they share; that this compiles is a test in itself. */

import * as node from '../../src/crypto/node.ts';
import * as noble from '../../src/crypto/noble.ts';
import { type CryptoSuite } from '../../src/crypto/suite.ts';

export const suites: readonly CryptoSuite[] = [node, noble];
