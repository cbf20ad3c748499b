/** Opens once for each name; a failure is remembered, too. */
export function remembered<Given extends [name?: string], Opened>(
  open: (...given: Given) => Promise<Opened>,
): (...given: Given) => Promise<Opened> {
  const known = new Map<string | undefined, Promise<Opened>>();
  return (...given) => {
    const opened = known.get(given[0]) ?? open(...given);
    known.set(given[0], opened);
    return opened;
  };
}
