import type { Schemas } from "@/shared/api/client";
import { Time } from "@/shared/ui/Figure";
import { useScope } from "@/shell/scope";
import { CommandButton } from "./CommandButton";
import { acknowledging } from "./command";

/** A breach as both the board and its rule tell it. */
export type Breach = { account: string; rule_id: string; event_id: string };

/** Says that one has seen a breach; a `reason` goes into the record with it. */
export function Acknowledge({ breach, reason = "" }: { breach: Breach; reason?: string }) {
  const { whyNot } = useScope();
  const id = breach.account.split("/")[1] ?? "";
  return (
    <CommandButton
      command={acknowledging(breach, reason)}
      name="Acknowledge"
      label={`Acknowledge the breach of ${breach.rule_id} by ${id}`}
      why={whyNot("halt.pause", id) || undefined}
    />
  );
}

export function AcknowledgedBy({ made }: { made: Schemas["Acknowledged"] }) {
  return (
    <span className="text-meta text-muted">
      acknowledged by {made.by} at <Time at={made.at} />
      {made.reason ? `: ${made.reason}` : ""}
    </span>
  );
}
