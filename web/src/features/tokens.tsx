import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { answered, api, type Schemas } from "@/shared/api/client";
import { tokensQuery } from "@/shared/api/queries";
import { serverNow } from "@/shared/clock";
import { Button } from "@/shared/ui/Button";
import { SelectField, TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Permission, useScope } from "@/shell/scope";
import { AskFirst, Once, useAct } from "./act";

type Token = Schemas["TokenOut"];

/** What a permission lets somebody do. */
export const PERMISSION_WORDS: Record<Permission, string> = {
  "account.read": "see accounts, decisions, runs",
  "config.read": "see the configuration",
  "audit.read": "read the record",
  "audit.export": "export the record",
  "run.start": "start runs",
  "run.cancel": "cancel runs",
  "basket.propose": "draft weights",
  "basket.submit": "submit weights",
  "basket.approve": "agree to baskets",
  "config.draft": "draft configurations",
  "config.tighten": "tighten limits",
  "config.loosen": "ask for looser limits",
  "config.approve": "agree to looser limits",
  "override.add": "tighten for a session",
  "halt.pause": "halt an account",
  "halt.flatten": "cancel and flatten",
  "firm.halt": "halt the firm",
  "unlock.request": "ask to resume",
  "unlock.approve": "agree to resume",
  "mode.shadow": "put into shadow",
  "mode.live": "ask for live",
  "mode.approve_live": "agree to live",
  "order.exit": "exit positions",
  "user.read": "see people",
  "user.manage": "manage people",
  "token.own": "make tokens",
  "record.purge": "purge the record",
};
/** What no token may ever do, whatever it is made for: the server holds this. */
const BY_PERSON: ReadonlySet<Permission> = new Set([
  "basket.approve",
  "config.approve",
  "unlock.approve",
  "mode.live",
  "mode.approve_live",
  "order.exit",
  "user.manage",
  "token.own",
  "record.purge",
]);
const DAYS = [
  ["1", "a day"],
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
] as const;

/** API tokens one by one: what they may do, over which accounts, until when. */
export function TokenList({ tokens, revoke }: { tokens: readonly Token[]; revoke: (one: Token) => Promise<unknown> }) {
  const queries = useQueryClient();
  return (
    <ul className="grid gap-3">
      {tokens.map((one) => (
        <li key={one.token_id} className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <div className="mr-auto min-w-0">
            <p>
              <span className="font-medium">{one.name}</span>{" "}
              <span className="font-mono text-meta text-muted">{one.token_id}</span>
            </p>
            <p className="text-muted">
              May {one.permissions.map((each) => PERMISSION_WORDS[each] ?? each).join(", ")};{" "}
              {one.accounts === null ? "every account of its person" : one.accounts.join(", ")}. Until{" "}
              <Time at={one.expires_at} />,{" "}
              {one.used_at === null ? (
                "never used"
              ) : (
                <>
                  used last <Time at={one.used_at} />
                </>
              )}
              .
            </p>
          </div>
          <AskFirst
            name="End it"
            title={`End the token ${one.name}`}
            verb="End it"
            kind="safety"
            lines={["Whatever uses it is refused from now on. It cannot be brought back."]}
            act={() => revoke(one)}
            onDone={() => void queries.invalidateQueries({ queryKey: ["tokens"] })}
          />
        </li>
      ))}
    </ul>
  );
}

/** One's own API tokens in the firm that is looked at. */
export function OwnTokens() {
  const { firm, whyNot } = useScope();
  const query = useQuery({ ...tokensQuery(firm), enabled: firm !== "" });
  return (
    <Panel title={`API tokens at ${firm}`}>
      <div className="grid gap-4">
        <Loaded
          query={query}
          height={60}
          empty={{ when: (d) => d.length === 0, why: "None. A token lets a program do what you may, and no more." }}
        >
          {(tokens) => (
            <TokenList
              tokens={tokens}
              revoke={(one) =>
                answered(
                  api.DELETE("/api/v1/me/firms/{firm}/tokens/{token_id}", {
                    params: { path: { firm, token_id: one.token_id } },
                  }),
                )
              }
            />
          )}
        </Loaded>
        <MakeToken why={whyNot("token.own") || undefined} />
      </div>
    </Panel>
  );
}

function MakeToken({ why }: { why: string | undefined }) {
  const { me, firm, ids } = useScope();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [may, setMay] = useState<readonly Permission[]>(["account.read"]);
  const [over, setOver] = useState<readonly string[] | null>(null);
  const [days, setDays] = useState<(typeof DAYS)[number][0]>("30");
  const mine = me.permissions
    .filter((one) => one.firm === firm && !BY_PERSON.has(one.permission))
    .map((one) => one.permission);
  const make = useAct(
    (body: Omit<Schemas["TokenIn"], "expires_at"> & { days: number }, key) => {
      const { days: kept, ...rest } = body;
      const expires_at = new Date(serverNow() + kept * 86_400_000 - 60_000).toISOString();
      return answered(
        api.POST("/api/v1/me/firms/{firm}/tokens", {
          params: { path: { firm }, header: { "Idempotency-Key": key } },
          body: { ...rest, expires_at },
        }),
      );
    },
    () => {
      setName("");
      void queries.invalidateQueries({ queryKey: ["tokens"] });
    },
  );
  return (
    <form
      className="grid gap-3 border-t border-line pt-3"
      onSubmit={(event) => {
        event.preventDefault();
        make.run({
          name: name.trim(),
          permissions: [...may],
          accounts: over === null ? null : over.map((one) => `${firm}/${one}`),
          days: Number(days),
        });
      }}
    >
      <div className="flex flex-wrap items-end gap-3">
        <TextField label="Name of a new token" required maxLength={80} value={name} onValue={setName} />
        <SelectField label="It counts for" value={days} onValue={setDays} of={DAYS} />
      </div>
      <Checks
        name="It may"
        of={mine.map((one) => [one, PERMISSION_WORDS[one] ?? one])}
        checked={may}
        onChecked={setMay}
      />
      <AccountChecks ids={ids} over={over} onOver={setOver} all="Every account of mine, as they are when it is used" />
      {make.said}
      {make.data ? (
        <div role="alert" className="grid gap-2">
          <p>Keep its text now: it is shown this once.</p>
          <Once name="the token" text={make.data.text} />
        </div>
      ) : null}
      <div>
        <Button
          type="submit"
          why={why}
          disabled={name.trim() === "" || may.length === 0 || over?.length === 0 || make.pending}
        >
          Make a token
        </Button>
      </div>
    </form>
  );
}

type ChecksProps<K extends string> = {
  name: string;
  of: readonly (readonly [K, string])[];
  checked: readonly K[];
  onChecked: (checked: readonly K[]) => void;
};

export function Checks<K extends string>({ name, of, checked, onChecked }: ChecksProps<K>) {
  return (
    <fieldset>
      <legend className="mb-1 text-meta text-muted">{name}</legend>
      <div className="grid gap-x-4 tablet:grid-cols-2 desk:grid-cols-3">
        {of.map(([value, said]) => (
          <label key={value} className="flex min-h-7 cursor-pointer items-center gap-2 max-desk:min-h-11">
            <input
              type="checkbox"
              className="size-4 accent-(--accent)"
              checked={checked.includes(value)}
              onChange={(event) =>
                onChecked(event.target.checked ? [...checked, value] : checked.filter((one) => one !== value))
              }
            />
            {said}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

type AccountProps = {
  ids: readonly string[];
  over: readonly string[] | null;
  onOver: (over: readonly string[] | null) => void;
  all: string;
};

/** Every account, those to come too, or some by name. */
export function AccountChecks({ ids, over, onOver, all }: AccountProps) {
  return (
    <div className="grid gap-1">
      <Checks
        name="Over"
        of={[["all", all]]}
        checked={over === null ? ["all"] : []}
        onChecked={(checked) => onOver(checked.length > 0 ? null : [])}
      />
      {over === null ? null : (
        <Checks name="These accounts" of={ids.map((one) => [one, one])} checked={over} onChecked={onOver} />
      )}
    </div>
  );
}
