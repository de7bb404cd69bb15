import type { Tone } from "@/shared/ui/Chip";

export const STATUS_TONES: Record<string, Tone> = {
  started: "accent",
  running: "accent",
  queued: "plain",
  waiting: "warn",
  cancelling: "warn",
  done: "plain",
  failed: "safety",
  cancelled: "plain",
};

export const PROPOSAL_TONES: Record<string, Tone> = {
  draft: "plain",
  submitted: "accent",
  run: "accent",
  withdrawn: "plain",
};
