/**
 * fast-check, set up for this project: import it from here, the linter holds it.
 *
 * On its own fast-check makes arrays and byte arrays with a `maxLength` at most 10 long. Properties about bounds and
 * hostile bytes need the lengths that they name.
 */

import { configureGlobal, readConfigureGlobal } from 'fast-check';

configureGlobal({ ...readConfigureGlobal(), defaultSizeToMaxWhenMaxSpecified: true });

export * from 'fast-check';
