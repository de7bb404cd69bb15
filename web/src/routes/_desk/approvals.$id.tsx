import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { useState } from "react";
import { useAct } from "@/features/act";
import { CLASS_WORDS, isSevere, STATUS_TONES, STATUS_WORDS } from "@/features/approvals";
import { Diff, Section } from "@/features/Confirm";
import { answered, api, type Schemas } from "@/shared/api/client";
import { approvalQuery } from "@/shared/api/queries";
import { useLive } from "@/shared/live/store";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Facts } from "@/shared/ui/Facts";
import { TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/approvals/$id")({ component: OneApproval });

function OneApproval() {
  const { id } = Route.useParams();
  const { firm } = useScope();
  const query = useQuery(approvalQuery(firm, id));
  return (
    <Page
      title="Request"
      aside={
        <Link to="/approvals" className="text-muted hover:text-fg">
          All requests
        </Link>
      }
    >
      <Loaded query={query} height={400}>
        {({ data, etag }) => (
          <div className="grid items-start gap-4 desk:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]">
            <Panel
              title={`${data.kind} for ${data.account || data.firm_id}`}
              aside={<Chip tone={STATUS_TONES[data.status] ?? "unknown"}>{data.status}</Chip>}
            >
              <What asked={data} />
            </Panel>
            <div className="grid content-start gap-4">
              <WhoAndWhen asked={data} />
              <Comments asked={data} />
              {data.status === "requested" ? <Answer asked={data} etag={etag} /> : null}
            </div>
          </div>
        )}
      </Loaded>
    </Page>
  );
}

function WhoAndWhen({ asked }: { asked: Schemas["ApprovalNowOut"] }) {
  return (
    <Panel title="Who and when">
      <div className="grid gap-3">
        <Facts
          of={[
            ["Asked by", asked.maker],
            ["Because", asked.reason],
            ["Asked", <Time key="asked" at={asked.created_at} seconds />],
            ["Stands until", <Time key="until" at={asked.expires_at} seconds />],
            ["Agreed", `${asked.given} of ${asked.required}`],
            ["Now", STATUS_WORDS[asked.status] ?? asked.status],
            ["How it ended", asked.why && asked.why !== asked.status ? asked.why : null],
            ["Based on", asked.base_version || null],
          ]}
        />
        {asked.votes.length > 0 ? (
          <ol className="grid gap-1 border-t border-line pt-3">
            {asked.votes.map((one) => (
              <li key={one.actor}>
                <span className={one.agrees ? "" : "text-warn"}>
                  {one.actor} {one.agrees ? "agreed" : "refused"}
                </span>{" "}
                <span className="text-muted">
                  <Time at={one.at} seconds />
                </span>
                {one.reason ? `: ${one.reason}` : ""}
              </li>
            ))}
          </ol>
        ) : null}
        <p className="flex flex-wrap gap-x-4 gap-y-1">
          <Link to="/audit" search={{ id: asked.request_id }} className="text-accent underline">
            Its entries in the record
          </Link>
          {asked.account ? (
            <Link
              to="/constraints"
              search={{ account: asked.account.split("/")[1] ?? "" }}
              className="text-accent underline"
            >
              Limits of {asked.account}
            </Link>
          ) : null}
        </p>
        <code className="text-meta break-all text-muted">{asked.request_id}</code>
      </div>
    </Panel>
  );
}

const MARKS: Record<string, [string, string]> = {
  same: ["", ""],
  new: ["new since it was asked for", "text-warn"],
  gone: ["no longer", "text-warn line-through"],
};

/** The same words the maker saw, beside what it would do now. */
function What({ asked }: { asked: Schemas["ApprovalNowOut"] }) {
  const now = asked.now;
  const lines = now
    ? now.effects.map((one) => {
        const [said, tone] = MARKS[one.mark] ?? ["", ""];
        return (
          <span key={one.text}>
            <span className={tone}>{one.text}</span> {said ? <Chip tone="warn">{said}</Chip> : null}
          </span>
        );
      })
    : asked.effects;
  return (
    <div className="grid gap-3">
      <p className="flex flex-wrap items-center gap-2">
        <code className="break-all">{asked.command}</code>
        <Chip tone={isSevere(asked) ? "safety" : "plain"}>{CLASS_WORDS[asked.klass] ?? asked.klass}</Chip>
      </p>
      {now?.changed ? (
        <p role="alert" className="rounded-control border border-warn px-3 py-2">
          {now.changed}. Whoever agrees now finds it void.
        </p>
      ) : null}
      <Section title={now ? "What it does, as it is now" : "What it was to do"} lines={lines} />
      {now ? <Section title="What does not change" lines={now.unchanged} /> : null}
      {now?.undo ? <Section title="How to undo it" lines={[now.undo]} /> : null}
      {now ? <Section title="To know first" lines={now.warnings} /> : null}
      {(now?.diff ?? asked.diff) ? <Diff text={now?.diff ?? asked.diff} /> : null}
      <details>
        <summary className="cursor-pointer text-muted">As it was shown to who asked</summary>
        <pre className="mt-2 font-sans whitespace-pre-wrap">{asked.summary_md}</pre>
      </details>
    </div>
  );
}

/** What people say about it before they answer: kept for good, and no answer by itself. */
function Comments({ asked }: { asked: Schemas["ApprovalNowOut"] }) {
  const { firm, whyNot } = useScope();
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const say = useAct(
    (body: Schemas["CommentIn"], key) =>
      answered(
        api.POST("/api/v1/firms/{firm}/approvals/{request_id}/comments", {
          params: { path: { firm, request_id: asked.request_id }, header: { "Idempotency-Key": key } },
          body,
        }),
      ),
    () => {
      setText("");
      void queries.invalidateQueries({ queryKey: ["approvals"] });
    },
  );
  const open = asked.status === "requested" || asked.status === "given";
  const why = open ? whyNot("config.draft", asked.account.split("/")[1]) : "It has ended: nothing can be added.";
  return (
    <Panel title="Comments">
      <div className="grid gap-3">
        {asked.comments.length === 0 ? (
          <p className="text-muted">Nobody has commented on it{open ? " yet" : ""}.</p>
        ) : (
          <ol className="grid gap-2" aria-label="Comments, the oldest first">
            {asked.comments.map((one) => (
              <li key={`${one.at} ${one.actor} ${one.text}`}>
                <span className="text-meta text-muted">
                  {one.actor} · <Time at={one.at} seconds />
                </span>
                <p className="break-words">{one.text}</p>
              </li>
            ))}
          </ol>
        )}
        <form
          className="grid gap-3"
          onSubmit={(event) => {
            event.preventDefault();
            if (!why && text.trim() && !say.pending) say.run({ text: text.trim() });
          }}
        >
          {why ? <p className="text-muted">{why}</p> : null}
          <TextField
            label="Comment, kept in the record for good"
            value={text}
            maxLength={1000}
            autoComplete="off"
            disabled={Boolean(why)}
            onValue={setText}
          />
          {say.said}
          <div className="flex justify-end">
            <Button type="submit" why={why || undefined} disabled={text.trim() === "" || say.pending}>
              {say.pending ? "Sent, waiting for the server" : "Add the comment"}
            </Button>
          </div>
        </form>
      </div>
    </Panel>
  );
}

function Answer({ asked, etag }: { asked: Schemas["ApprovalNowOut"]; etag: string }) {
  const { firm, live } = useScope();
  const queries = useQueryClient();
  const { state } = useLive(live);
  const [phrase, setPhrase] = useState("");
  const [reason, setReason] = useState("");
  const path = { firm, request_id: asked.request_id };
  const header = (key: string) => ({ "If-Match": etag, "Idempotency-Key": key });
  const settled = () => void queries.invalidateQueries();
  const approve = useAct(
    (body: Schemas["AgreeIn"], key) =>
      answered(
        api.POST("/api/v1/firms/{firm}/approvals/{request_id}/approve", {
          params: { path, header: header(key) },
          body,
        }),
      ),
    settled,
  );
  const reject = useAct(
    (body: Schemas["ReasonIn"], key) =>
      answered(
        api.POST("/api/v1/firms/{firm}/approvals/{request_id}/reject", { params: { path, header: header(key) }, body }),
      ),
    settled,
  );
  const why = asked.why_not || (state === "live" ? "" : "The live channel is down: nothing can be agreed to now.");
  return (
    <Panel title="Your answer">
      <div className="grid gap-3">
        {why ? <p className="text-warn">{why}</p> : null}
        <TextField
          label="Why (ten characters at least to refuse)"
          value={reason}
          maxLength={500}
          disabled={Boolean(asked.why_not)}
          onValue={setReason}
        />
        <TextField
          label={
            <>
              To agree, type <strong className="text-fg">{asked.phrase}</strong>
            </>
          }
          value={phrase}
          autoComplete="off"
          spellCheck={false}
          disabled={Boolean(why)}
          onValue={setPhrase}
        />
        {approve.said}
        {reject.said}
        <div className="flex flex-wrap justify-end gap-2">
          <Button
            disabled={Boolean(asked.why_not) || reason.trim().length < 10 || reject.pending}
            command={`/reject proposal id:${asked.request_id}`}
            onClick={() => reject.run({ reason: reason.trim() })}
          >
            Refuse
          </Button>
          <Button
            kind="primary"
            disabled={Boolean(why) || phrase !== asked.phrase || approve.pending || approve.proves}
            command={`/approve proposal id:${asked.request_id}`}
            onClick={() => approve.run({ phrase, reason: reason.trim() })}
          >
            {approve.pending ? "Sent, waiting for the server" : "Agree"}
          </Button>
        </div>
      </div>
    </Panel>
  );
}
