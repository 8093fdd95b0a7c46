/** The NAT report of the namespace that it runs in. */

import { report } from './report-line.ts';
import { natReport } from '../../src/nat/index.ts';

const { paths, summary } = await natReport({ observers: process.argv.slice(2), timeoutMs: 1000 });
report({ paths, summary });
process.exit(0);
