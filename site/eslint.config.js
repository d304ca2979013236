import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "public", "course", "node_modules"] },
  ...tseslint.configs.recommended,
  {
    rules: {
      complexity: ["error", 12],
      "max-len": ["error", { code: 92, ignoreUrls: true, ignoreRegExpLiterals: true }],
      "max-lines": ["error", 320],
      eqeqeq: "error",
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_" }],
    },
  },
);
