// A Worker's author who has told the compiler of the runtime's condition: checked by the compiler, never run.

import { CredentialObject, sharedWif } from "wif-credential";
import { createWif } from "wif-credential/workers";

export const names = [CredentialObject, sharedWif, createWif];
