// What is used of the runtime's module; the whole of it is in Cloudflare's own types.
declare module "cloudflare:workers" {
  export const waitUntil: ((work: Promise<unknown>) => void) | undefined;
}
