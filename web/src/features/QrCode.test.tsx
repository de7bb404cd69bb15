import { render, screen } from "@testing-library/preact";
import decodeQR from "qr/decode.js";
import { expect, it } from "vitest";
import QrCode from "./QrCode";

const PIXELS = 5; // to a module

it("is read by another reader as what it says, whatever its length", () => {
  for (const label of ["pm", "pm@north-pier.demo", "somebody.with.a.long.name@a-firm-with-a-long-name.example"]) {
    const uri = `otpauth://totp/Regime%20Trading:${encodeURIComponent(label)}?secret=${"A7".repeat(16)}&issuer=Regime%20Trading`;
    const { unmount } = render(<QrCode text={uri} name={label} />);
    const svg = screen.getByRole("img", { name: label });
    const size = Number(svg.getAttribute("viewBox")?.split(" ")[2]);
    const dark = new Set(
      svg
        .querySelector("path")
        ?.getAttribute("d")
        ?.match(/\d+ \d+(?=h1v1)/g),
    );
    const side = size * PIXELS;
    const data = new Uint8ClampedArray(side * side * 4).fill(255);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        if (dark.has(`${Math.floor(x / PIXELS)} ${Math.floor(y / PIXELS)}`))
          data.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
      }
    }
    expect(decodeQR({ width: side, height: side, data })).toBe(uri);
    unmount();
  }
});
