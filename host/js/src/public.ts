// The public face, whatever the platform.

export type {
  AccessTokenCallable,
  AccessTokenRequest,
  IdentityTokenCallable,
  IdentityTokenRequest,
  Named,
  Signer,
  SignRequest,
  SuppliedToken,
} from "./callables.js";
export type { FailureCode, Note, NoteCode, PendingReason, Standing, State } from "./contract.js";
export type { Options, RequestOptions } from "./create.js";
export type { AccessTokenProvider, Credential, Plain, Status, TokenOptions } from "./credential.js";
export type { Change } from "./driver.js";
export type { Middleware, SdkRequest } from "./fetch.js";
export { ConfigurationError, type Failure, NoTokenError, type NoTokenCode, OptionError, WifError } from "./errors.js";
export type { PolicyOptions } from "./policy.js";
export { signer } from "./signer.js";
export type { Availability } from "./snapshot.js";
export {
  type Entry,
  httpCache,
  type HttpCache,
  kvCache,
  type KvNamespace,
  memoryStore,
  sealedCache,
  type Store,
  type Swapped,
  type Texts,
} from "./store.js";
export type { Token } from "./token.js";
export type { Fetch } from "./transport.js";
