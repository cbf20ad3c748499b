/** For tasks of workflows without a context. */
export function openServices() {
  return {};
}
