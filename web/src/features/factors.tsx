import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { answered, api, type Schemas } from "@/shared/api/client";
import { factorsQuery, meQuery, sessionQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { AskFirst, Once, useAct } from "./act";
import { HAS_PASSKEYS, makePasskey } from "./passkey";

const QrCode = lazy(() => import("./QrCode"));

/** Whatever is known of who is in, read again. */
function useSelfAgain(): () => void {
  const queries = useQueryClient();
  return () => {
    for (const { queryKey } of [factorsQuery, sessionQuery, meQuery]) void queries.invalidateQueries({ queryKey });
    void queries.invalidateQueries({ queryKey: ["sessions"] });
  };
}

export function Factors() {
  const query = useQuery(factorsQuery);
  const again = useSelfAgain();
  const [codes, setCodes] = useState<readonly string[]>([]);
  const added = (answer: Schemas["EnrolledOut"]) => {
    if (answer.recovery_codes.length > 0) setCodes(answer.recovery_codes);
    again();
  };
  return (
    <Panel title="Second factors">
      <Loaded query={query} height={160}>
        {(found) => (
          <div className="grid gap-4">
            {codes.length > 0 ? <Codes codes={codes} onKept={() => setCodes([])} /> : null}
            {!found.totp && found.passkeys.length === 0 ? (
              <p className="text-muted">
                None yet: whoever has the password is in. The roles of a PM and of an administrator count for nothing
                without one.
              </p>
            ) : null}
            <Totp enrolled={found.totp} onAdded={added} onRemoved={again} />
            <Passkeys passkeys={found.passkeys} onAdded={added} onRemoved={again} />
            <section aria-label="Recovery codes" className="grid gap-2">
              <div className="flex flex-wrap items-center gap-2">
                <h3 className="mr-auto font-medium">
                  Recovery codes <span className="font-normal text-muted">{found.recovery_codes_left} left</span>
                </h3>
                <AskFirst
                  name="Make new ones"
                  title="Make new recovery codes"
                  verb="Make ten new ones"
                  lines={["The codes you have now no longer count. The new ones are shown this once."]}
                  why={found.totp || found.passkeys.length > 0 ? undefined : "They come with the first second factor."}
                  act={() => answered(api.POST("/api/v1/me/factors/recovery-codes"))}
                  onDone={again}
                  shown={(made) => <Codes codes={made.recovery_codes} />}
                />
              </div>
            </section>
          </div>
        )}
      </Loaded>
    </Panel>
  );
}

function Codes({ codes, onKept }: { codes: readonly string[]; onKept?: () => void }) {
  return (
    <div role="alert" className="grid gap-2">
      <p>Keep these recovery codes where this device is not. Each counts once; they are shown this once.</p>
      <Once name="the recovery codes" text={codes.join("\n")} />
      {onKept ? (
        <div>
          <Button onClick={onKept}>I have kept them</Button>
        </div>
      ) : null}
    </div>
  );
}

type OfTotp = { enrolled: boolean; onAdded: (answer: Schemas["EnrolledOut"]) => void; onRemoved: () => void };

function Totp({ enrolled, onAdded, onRemoved }: OfTotp) {
  const [code, setCode] = useState("");
  const offer = useAct((_: null) => answered(api.POST("/api/v1/me/factors/totp")));
  const confirm = useAct(
    (said: string) => answered(api.POST("/api/v1/me/factors/totp/confirm", { body: { code: said } })),
    (answer) => {
      offer.reset();
      setCode("");
      onAdded(answer);
    },
  );
  return (
    <section aria-label="Authenticator" className="grid gap-2">
      <div className="flex flex-wrap items-center gap-2">
        <h3 className="mr-auto font-medium">
          Authenticator <span className="font-normal text-muted">{enrolled ? "set up" : "none"}</span>
        </h3>
        <Button disabled={offer.pending} onClick={() => offer.run(null)}>
          {enrolled ? "Replace it" : "Set one up"}
        </Button>
        {enrolled ? (
          <AskFirst
            name="Remove"
            title="Remove the authenticator"
            verb="Remove it"
            kind="safety"
            lines={["Its codes no longer count. A PM or an administrator keeps one second factor at least."]}
            act={() => answered(api.DELETE("/api/v1/me/factors/{kind}", { params: { path: { kind: "totp" } } }))}
            onDone={onRemoved}
          />
        ) : null}
      </div>
      {offer.said}
      {offer.data ? (
        <form
          className="grid gap-3 rounded-control border border-line p-3"
          onSubmit={(event) => {
            event.preventDefault();
            confirm.run(code.replaceAll(/\s/g, ""));
          }}
        >
          <p>
            Point your authenticator at the picture, type the key into it, or{" "}
            <a href={offer.data.uri} className="text-accent underline">
              open it in one on this device
            </a>
            . It counts once a code of it was given.
          </p>
          <Suspense fallback={<div className="size-48" />}>
            <QrCode text={offer.data.uri} name="The key of your authenticator, for its camera" />
          </Suspense>
          <Once name="the key" text={inFours(offer.data.seed)} />
          <TextField
            label="Six digits that it shows now"
            value={code}
            onValue={setCode}
            inputMode="numeric"
            autoComplete="one-time-code"
            className="max-w-60"
          />
          <div className="flex flex-wrap gap-2">
            <Button
              type="submit"
              kind="primary"
              disabled={!/^\d{6}$/.test(code.replaceAll(/\s/g, "")) || confirm.pending}
            >
              Confirm it
            </Button>
            <Button onClick={() => offer.reset()}>Cancel</Button>
          </div>
        </form>
      ) : null}
      {confirm.said}
    </section>
  );
}

/** A key as people type it. */
export function inFours(seed: string): string {
  return seed.replaceAll(/(.{4})(?=.)/g, "$1 ");
}

type OfPasskeys = {
  passkeys: readonly Schemas["PasskeyOut"][];
  onAdded: (answer: Schemas["EnrolledOut"]) => void;
  onRemoved: () => void;
};

function Passkeys({ passkeys, onAdded, onRemoved }: OfPasskeys) {
  const [name, setName] = useState("");
  const add = useAct(
    async (called: string) => {
      const answer = await makePasskey(await answered(api.POST("/api/v1/me/factors/passkeys/options")));
      return answered(api.POST("/api/v1/me/factors/passkeys", { body: { answer, name: called || "passkey" } }));
    },
    (answer) => {
      setName("");
      onAdded(answer);
    },
  );
  return (
    <section aria-label="Passkeys" className="grid gap-2">
      <h3 className="font-medium">
        Passkeys <span className="font-normal text-muted">{passkeys.length === 0 ? "none" : passkeys.length}</span>
      </h3>
      <ul className="grid gap-2">
        {passkeys.map((one) => (
          <li key={one.credential_id} className="flex flex-wrap items-center gap-2">
            <span className="mr-auto min-w-0">
              {one.name}{" "}
              <span className="text-muted">
                added <Time at={one.created_at} />
              </span>
            </span>
            <AskFirst
              name="Remove"
              title={`Remove the passkey ${one.name}`}
              verb="Remove it"
              kind="safety"
              lines={["It no longer opens anything here. A PM or an administrator keeps one second factor at least."]}
              act={() =>
                answered(
                  api.DELETE("/api/v1/me/factors/{kind}", {
                    params: { path: { kind: "passkey" }, query: { credential_id: one.credential_id } },
                  }),
                )
              }
              onDone={onRemoved}
            />
          </li>
        ))}
      </ul>
      <form
        className="flex flex-wrap items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          add.run(name.trim());
        }}
      >
        <TextField label="Name of a new one" value={name} maxLength={80} onValue={setName} placeholder="this laptop" />
        <Button
          type="submit"
          className="h-9"
          why={HAS_PASSKEYS ? undefined : "This browser does not know passkeys."}
          disabled={add.pending}
        >
          {add.pending ? "Waiting for the passkey" : "Add a passkey"}
        </Button>
      </form>
      {add.said}
    </section>
  );
}

export function Password() {
  const again = useSelfAgain();
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [repeated, setRepeated] = useState("");
  const change = useAct(
    (body: Schemas["ChangeIn"]) => answered(api.POST("/api/v1/session/password", { body })),
    () => {
      setOld("");
      setNext("");
      setRepeated("");
      again();
    },
  );
  const differs = repeated !== "" && repeated !== next;
  return (
    <Panel title="Password">
      <form
        className="grid gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          change.run({ old, new: next });
        }}
      >
        <div className="grid gap-3 tablet:grid-cols-3">
          <TextField
            label="The one that is"
            type="password"
            autoComplete="current-password"
            required
            value={old}
            onValue={setOld}
          />
          <TextField
            label="The one that shall be"
            type="password"
            autoComplete="new-password"
            required
            value={next}
            onValue={setNext}
          />
          <TextField
            label="Once more"
            type="password"
            autoComplete="new-password"
            required
            value={repeated}
            onValue={setRepeated}
          />
        </div>
        {differs ? <p role="alert">The two are not the same.</p> : null}
        {change.data ? <p role="status">It is changed, and every other session of yours has ended.</p> : null}
        {change.said}
        <div className="flex flex-wrap items-center gap-3">
          <Button type="submit" disabled={!old || !next || repeated !== next || change.pending}>
            Change the password
          </Button>
          <span className="text-muted">Every other session of yours ends with it.</span>
        </div>
      </form>
    </Panel>
  );
}
