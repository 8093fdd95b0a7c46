/**
 * Dates of the Gregorian calendar in UTC as numbers, without `Date`: formats do not read a clock.
 *
 * The arithmetic counts days from 1 March of year 0, so that the leap day is the last of its year, in eras of 400 years
 * (146097 days).
 */

/** A time in UTC, to the second. */
export interface CivilTime {
  /** 1 to 9999. */
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  /** 0 to 59; leap seconds do not exist in Unix time. */
  readonly second: number;
}

const DAY_MS = 86_400_000;
/** Days from 0000-03-01 to 1970-01-01. */
const EPOCH_DAYS = 719_468;

/** The civil time of a Unix time; milliseconds are dropped. */
export function civilTimeOf(unixMs: number): CivilTime {
  const dayNumber = Math.floor(unixMs / DAY_MS);
  const secondOfDay = Math.floor((unixMs - dayNumber * DAY_MS) / 1000);
  const days = dayNumber + EPOCH_DAYS;
  const era = Math.floor(days / 146_097);
  const dayOfEra = days - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153); // months from March
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1,
    hour: Math.floor(secondOfDay / 3600),
    minute: Math.floor(secondOfDay / 60) % 60,
    second: secondOfDay % 60,
  };
}

/** The Unix time in milliseconds; `undefined` when the day or the time of day does not exist. */
export function unixMsOf(time: CivilTime): number | undefined {
  const { year, month, day, hour, minute, second } = time;
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return undefined;
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  const days = era * 146_097 + dayOfEra - EPOCH_DAYS;
  const unixMs = days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000;
  const back = civilTimeOf(unixMs);
  return back.day === day && back.month === month ? unixMs : undefined; // 30 February is converted back to another day
}
