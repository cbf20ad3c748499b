/** One column of predictions: a name and a value for each row. */
export interface PredictionColumn {
  readonly name: string;
  /** Whole numbers, such as class labels, are counted; others are averaged. */
  readonly kind: 'label' | 'score';
  readonly values: ArrayLike<number | bigint>;
  readonly stride: number;
  readonly offset: number;
}

export interface Model {
  readonly name: string;
  score(features: Float32Array, rows: number): Promise<PredictionColumn[]>;
  /** Gives its memory back. */
  release(): Promise<void>;
}
